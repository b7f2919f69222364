"""Names of all kinds on consoles and in commands to be copied; consoles of all kinds."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import nullcontext
from pathlib import Path

import pytest
from consoles import NAMES, NOT_UTF8, console_of, shown
from rich.panel import Panel
from rich.text import Text

from llm_explainer.console import progress, terminal
from llm_explainer.console.progress import StageProgress
from llm_explainer.console.streams import wants_style
from llm_explainer.console.training_view import TrainingView
from llm_explainer.spelling import command_line, spelled_out
from llm_explainer.training.events import Sampled, Saved

SOURCE = Path(__file__).parents[1] / "src" / "llm_explainer"
# Commands


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_a_shell_takes_a_command_apart_into_its_words():
    line = command_line(*NAMES, "", "it's\n\\")
    assert "\n" not in line
    assert line.isprintable()
    done = subprocess.run(["bash", "-c", f"printf '%s\\0' {line}"], capture_output=True, check=True)
    words = [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]
    assert words == [*NAMES, "", "it's\n\\"]


def test_a_path_is_never_an_option():
    assert command_line("generate", Path("-x"), "--out", Path("a-b")) == "generate ./-x --out a-b"


@pytest.mark.parametrize("live", [True, False], ids=["terminal", "pipe"])
def test_a_command_is_one_line_however_narrow_the_console(live):
    console = console_of(20, live=live)
    command = command_line("run_demo.py", "generate", Path("a long name/of a run in a folder"))
    terminal.show_next(console, [(command, "talk to it")])
    assert f"  {command}\n" in shown(console)


# Consoles


@pytest.mark.parametrize("name", NAMES, ids=ascii)
@pytest.mark.parametrize("live", [True, False], ids=["terminal", "pipe"])
def test_a_name_is_shown_as_it_is(name, live):
    console = console_of(live=live)
    terminal.show(console, f"run {name} ", Text("is bold", "bold"))
    assert shown(console) == f"run {spelled_out(name)} is bold\n"


def test_a_width_of_nothing_is_the_usual_one(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "0")
    terminal.show(terminal.make_console(), "a line")
    assert capsys.readouterr().out == "a line\n"
    assert terminal.make_console().width == 80


def test_what_a_terminal_would_obey_is_spelled_out():
    assert spelled_out(NOT_UTF8) == r"x\xff\xc3 y"
    assert spelled_out("a\x1b[31m\x07\x9b\u200f中") == "a\\x1b[31m\\x07\\x9b\u200f中"
    assert spelled_out("\ud800") == r"\ud800"


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_the_live_view_of_a_run_takes_any_name(name):
    console = console_of(200)
    with TrainingView(console, name, f"what {name}", 10) as view:
        view(Saved(1, Path(name)))
        view(Sampled(1, f"sample {name}"))
        console.print(view._panel())
    for words in (f"what {spelled_out(name)}", "sample ", "checkpoint"):
        assert words.split("\n")[0][:60] in shown(console)


@pytest.mark.parametrize("name", ["exp[lr=1e-3]", "x[/b]", "a:fire:b", NOT_UTF8])
@pytest.mark.parametrize("live", [True, False], ids=["terminal", "pipe"])
def test_stages_and_what_is_being_done_take_any_name(name, live):
    console = console_of(live=live)
    with StageProgress(console) as bars:
        bars.report(name, 1, 2)
    with terminal.working(console, name) as report:
        report(name)
    assert spelled_out(name) in shown(console)


ONLY_IN = {
    r"\bConsole\(": {"console/terminal.py"},
    r"\.status\(": {"console/terminal.py"},
    r"\bTextColumn\(": {"console/progress.py"},
    r"\bsecho\(": {"console/streams.py"},
    r"\.savefig\(": {"picture.py", "tutorial/drawing.py"},  # there all names are ours
}
MARKUP = r"\[/\]|\[/?(bold|dim|red|green|italic)\b[^\]\"']*\](?!:)"
TITLE = r"Panel\(.*title=(?!Text\()"  # rich reads it as markup, if it is a string


def test_every_console_is_made_in_one_place_and_no_text_is_markup():
    """The mechanism: who prints a string cannot have it read as anything else."""
    files = {file.relative_to(SOURCE).as_posix(): file for file in SOURCE.rglob("*.py")}
    assert files.keys() >= set().union(*ONLY_IN.values())
    for place, file in files.items():
        text = file.read_text(encoding="utf-8")
        for pattern, where in ONLY_IN.items():
            assert place in where or not re.search(pattern, text), (place, pattern)
        assert not re.search(MARKUP, text), place
        assert not re.search(TITLE, text), place


def test_a_panel_reads_strings_as_markup_so_they_are_none():
    console = console_of()
    console.print(Panel(Text("x"), title=Text("exp[lr=1e-3]")))
    assert "exp[lr=1e-3]" in shown(console)


# Where nothing can change that is shown


def test_without_a_live_console_stages_are_lines_at_once_and_now_and_then(monkeypatch):
    clock = iter([0.0, 1.0, 11.0, 12.0, 13.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    console = console_of(live=False)
    with StageProgress(console) as bars:
        bars.report("encoding", 1, 100)
        assert shown(console) == "encoding\n"
        for done in (10, 55, 60):
            bars.report("encoding", done, 100)
        bars.report("merging", 5, None)
    assert shown(console) == "encoding\nencoding  55%\nmerging\n"


def test_a_dumb_terminal_is_no_live_console(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = console_of()
    assert console.is_terminal
    assert not terminal.is_live(console)
    with terminal.working(console, "measuring"), TrainingView(console, "run", "what", 10):
        assert shown(console) == "measuring ...\nrun: what\n"


@pytest.mark.parametrize(
    ("environment", "styled"),
    [
        ({}, True),
        ({"TERM": "xterm"}, True),
        ({"NO_COLOR": ""}, True),  # no-color.org: present and not an empty string
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": "0"}, False),
        ({"TERM": "dumb"}, False),
        ({"TERM": "unknown"}, False),
    ],
)
def test_who_wants_style(environment, styled):
    assert wants_style(environment) is styled


@pytest.mark.parametrize("error", [OSError(28, "full"), BrokenPipeError(32, "gone"), SystemExit(1)])
def test_a_full_disk_is_no_news_and_a_reader_that_left_is(error, monkeypatch):
    """Training goes on beside the one; at the other it ends with a checkpoint (test_signals)."""

    def fail(*_: object) -> None:
        raise error

    with TrainingView(console_of(live=False), "run", "what", 10) as view:
        monkeypatch.setattr("llm_explainer.console.training_view.show", fail)
        is_full = isinstance(error, OSError) and error.errno == 28
        with nullcontext() if is_full else pytest.raises(type(error)):
            view(Sampled(1, "text"))
