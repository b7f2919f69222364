"""Tables keep their numbers whole on every width of console."""

from __future__ import annotations

import pytest
from consoles import NAMES, console_of, finished, shown
from rich.table import Table

from llm_explainer.commands import gradcheck, presets
from llm_explainer.config import SIZES
from llm_explainer.console.run_table import run_table
from llm_explainer.console.tables import show_table
from llm_explainer.gradcheck import ParameterCheck
from llm_explainer.spelling import spelled_out


def table_of(n_columns: int) -> Table:
    table = Table(title="a title")
    for place in range(n_columns):
        table.add_column(f"heading {place}", no_wrap=True)
    for row in range(3):
        table.add_row(*(f"{row}{place}{'0' * 8}" for place in range(n_columns)))
    return table


@pytest.mark.parametrize("width", [30, 40, 79, 80, 200])
@pytest.mark.parametrize("n_columns", [1, 2, 6, 14])
def test_numbers_are_whole_and_lines_fit_on_every_width(width, n_columns):
    console = console_of(width)
    show_table(console, table_of(n_columns))
    text = shown(console)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for row in range(3):
        for place in range(n_columns):
            assert f"{row}{place}{'0' * 8}" in text


@pytest.mark.parametrize("width", [20, 80])
def test_a_table_takes_any_name(width):
    table = Table("[b]head", "a:fire:b", title="title[/b]", box=None)
    table.add_row("x[/b]", ":fire:")
    console = console_of(width)
    show_table(console, table)
    for words in ("title[/b]", "a:fire:b", "x[/b]", ":fire:"):
        assert words in shown(console)


def test_a_table_that_fits_exactly_is_a_table():
    table = table_of(4)
    needed = 4 * (10 + 2) + 5
    for width, is_table in ((needed, True), (needed - 1, False)):
        console = console_of(width)
        show_table(console, table)
        assert ("│" in shown(console)) is is_table


def test_a_pipe_is_as_wide_as_a_table(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    console = console_of(80, live=False)
    show_table(console, table_of(14))
    rows = [line for line in shown(console).splitlines() if "│" in line]
    assert len(rows) == 3


def test_a_finished_run_of_any_name_in_the_table():
    runs = [finished(name) for name in NAMES]
    console = console_of(240)
    show_table(console, run_table(runs, runs[0]))
    for run in runs:
        assert spelled_out(run.name).split("\n")[0] in shown(console)


@pytest.mark.parametrize("width", [40, 80])
def test_presets_keep_every_number(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", f"{width}")
    monkeypatch.setattr("llm_explainer.training.step_timer.measure_speed", lambda *_: 200_000.0)
    presets.presets(family="gpt2", batch_size=8, backend="numpy")
    text = capsys.readouterr().out
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for words in (*SIZES, "tokens/s", "0.14 M", "124.44 M", "354.82 M", "50,257"):
        assert words in text


@pytest.mark.parametrize(("width", "layer"), [(40, "down_proj"), (80, "down_proj.slices.0")])
def test_gradcheck_keeps_every_number(width, layer):
    config = gradcheck.small_model("gpt2", {})
    name = f"blocks.0.feed_forward.{layer}.lora_b"
    checks = [ParameterCheck(name, (8, 12), 2.5e-10, verdict) for verdict in ("ok", "wrong")]
    console = console_of(width)
    show_table(console, gradcheck.make_table("gpt2", config, checks, None))
    text = shown(console)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for words in (name, "8 × 12", "2.5e-10", "error", "ok", "wrong"):
        assert words in text
