"""Pictures of runs, whatever these are called."""

from __future__ import annotations

import dataclasses

import pytest
from consoles import NAMES, NOT_UTF8, finished

from llm_explainer.picture import save_picture
from llm_explainer.training.runs import comparison_figure
from llm_explainer.training.runs.comparison_figure import draw_comparison
from llm_explainer.training.runs.loss_curve import draw_loss_curve


@pytest.mark.parametrize("name", ["cost_$5_$6", "中文", NOT_UTF8], ids=ascii)
def test_a_picture_takes_any_name(name, tmp_path):
    events = [{"event": "step", "step": step, "loss": 2.0 - step} for step in (0, 1)]
    draw_loss_curve(events, tmp_path / "loss.png", name)
    assert (tmp_path / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_runs_takes_any_name(tmp_path):
    runs = [finished(name) for name in NAMES]
    draw_comparison(runs, runs[0], {"NumPy": 1.0}, tmp_path / "comparison.png")
    assert [path.name for path in tmp_path.iterdir()] == ["comparison.png"]


def test_only_runs_of_one_length_are_joined(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(
        comparison_figure, "save_picture", lambda figure, path: figures.append(figure)
    )
    runs = [
        dataclasses.replace(finished(str(size)), train_bytes=size, steps=steps)
        for size, steps in ((1000, 3), (2000, 3), (4000, 9))
    ]
    draw_comparison(runs, runs[0], {"NumPy": 1.0}, tmp_path / "comparison.png")
    joined = [[*line.get_xdata()] for line in figures[0].axes[2].lines]
    assert joined == [[1000, 2000], [4000]]


def test_a_dollar_in_a_picture_is_a_dollar(tmp_path):
    from matplotlib.figure import Figure

    figure = Figure()
    title = figure.suptitle("cost_$5_$6")
    save_picture(figure, tmp_path / "picture.png")
    assert title.get_text() == "cost_$5_$6"
    assert not title.get_parse_math()
