"""`run_demo.py learn`: the chapters in a terminal, run live, and how far the reader came."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import pytest
from consoles import console_of, shown
from test_tutorial_checks import PAGE
from typer.testing import CliRunner

from llm_explainer.commands.group import make_app
from llm_explainer.console.chapter_view import ChapterView, for_terminal
from llm_explainer.errors import ConfigError
from llm_explainer.program import DEMO
from llm_explainer.tutorial import formulas, thread
from llm_explainer.tutorial.chapters import read_chapter
from llm_explainer.tutorial.exercises import attempt
from llm_explainer.tutorial.exercises.table import EXERCISES
from llm_explainer.tutorial.progress import Progress, Result, load_progress


@pytest.fixture
def book(tmp_path, monkeypatch) -> Path:
    """A Tutorial of one chapter, and a reader in an empty folder."""
    folder = tmp_path / "Tutorial"
    folder.mkdir()
    (folder / "03 - Places.md").write_text(PAGE, encoding="utf-8")
    shutil.copy(Path(__file__).parents[1] / "run_demo.py", tmp_path)
    monkeypatch.setattr(thread, "tutorial_folder", lambda: folder)
    monkeypatch.chdir(tmp_path)
    return folder


def learn(*words: str, expect: int = 0) -> str:
    result = CliRunner().invoke(make_app(DEMO), ["learn", *words], env={"COLUMNS": "120"})
    if isinstance(result.exception, ConfigError):
        raise result.exception
    assert result.exit_code == expect, result.output
    return result.output


def test_chapters_are_listed_walked_and_remembered(book):
    listed = learn()
    assert "3. Places" in listed
    assert "Where is it?" in listed
    assert "learn 3" in listed
    walked = learn("3")
    assert "[ 0.333 -2.   ]" in walked
    assert "<!--" not in walked
    assert load_progress().read == {3}
    assert "yes" in learn()
    assert "0 of 4" in learn()
    with pytest.raises(ConfigError, match="no chapter 7; there are 3"):
        learn("7")


def test_check_says_what_is_not_so_and_exits_with_1(book):
    assert "2 blocks, 5 excerpts and numbers are as it says" in learn("3", "--check")
    (book / "03 - Places.md").write_text(PAGE.replace("33.3 %", "33.4 %"), encoding="utf-8")
    assert "03 - Places.md:15: the text says 33.4" in learn("--check", expect=1)


def test_pages_and_sheets_are_written_where_one_says(book):
    (book / "figures").mkdir()
    said = learn("3", "--html", "site").replace("\n", " ")
    assert "2 pages; begin with site" in said
    assert Path("site/03-places.html").is_file()
    said = learn("--sheets", "class").replace("\n", " ")
    assert "exercises.html to hand out" in said
    assert "<h2>3. Places</h2>" in Path("class/solutions.html").read_text("utf-8")
    with pytest.raises(ConfigError, match="--sheets takes a new folder"):
        learn("--sheets", "site")


def test_the_reader_says_first_what_comes_and_may_leave(book):
    chapter = read_chapter(book / "03 - Places.md")
    questions = iter([True, True, False])
    console = console_of(live=False)
    assert not ChapterView(console, lambda: next(questions)).show(chapter)
    text = shown(console)
    assert text.index("what does it print?") < text.index("[ 0.333") < text.index("the solution")
    assert "2 numbers" not in text


def test_an_exercise_is_written_graded_and_reported(book, monkeypatch):
    file = Path("learning") / "02-3-embedding.py"
    assert "learn 2 --exercise 3" in learn("2", "--exercise", "3")
    begun = file.read_text(encoding="utf-8")
    assert "A token that came twice learns twice." in begun
    assert "np.add.at" not in begun
    monkeypatch.setattr(attempt, "try_answer", attempt.run_file)  # in this process
    hole = 'raise NotImplementedError("this is yours to write")'
    start = 'dweight = np.zeros_like(p["weight"])\n        '
    file.write_text(begun.replace(hole, f"{start}dweight[ids] += dx\n        return dweight"))
    learn("2", "--exercise", "3", expect=1)
    assert load_progress().exercises["2.3"].hint == "grads is to be a dict, not ndarray"
    wrong = f'{start}dweight[ids] += dx\n        return {{"weight": dweight}}'
    file.write_text(begun.replace(hole, wrong))
    said = learn("2", "--exercise", "3", expect=1)
    assert 'grads["weight"] is not right' in said
    assert "ratio" in said
    file.write_text(
        begun.replace(hole, wrong.replace("dweight[ids] += dx", "np.add.at(dweight, ids, dx)"))
    )
    assert "learn 2 --exercise 1" in learn("2", "--exercise", "3")
    assert load_progress().exercises["2.3"] == Result(passed=True, tries=3)
    report = learn("--report")
    assert f"1 of {len(EXERCISES)} passed" in report
    with pytest.raises(ConfigError, match="of all chapters; leave out 2"):
        learn("2", "--report")
    with pytest.raises(ConfigError, match="of which chapter"):
        learn("--exercise", "3")


def test_markdown_is_made_for_a_terminal():
    formula = "so $W^\\top x$, `cost $5` and $6\n\n$$\\frac{a+b}{2}$$\n"
    text = for_terminal(f"{formula}\n![what](figures/x.svg)<!-- = 1 -->")
    assert text.startswith("so *Wᵀ x*, `cost $5` and $6\n")
    assert text.endswith("\n*Picture* (Tutorial/figures/x.svg): what")
    assert "\n    (a+b) / 2\n" in text


def test_formulas_are_as_their_examples_say():
    assert doctest.testmod(formulas).failed == 0


def test_progress_is_kept_and_damage_is_told(tmp_path):
    progress = Progress(tmp_path / "learning")
    progress.read.add(4)
    progress.exercises["4.2"] = Result(passed=False, tries=2, hint="the sign of dx")
    progress.save()
    assert load_progress(progress.folder) == progress
    for damaged in (b"{", b"[]", b'{"chapters_read": 3}', b'{"chapters_read": [], "exercises": 1}'):
        (progress.folder / "progress.json").write_bytes(damaged)
        with pytest.raises(ConfigError, match="remove it to begin again"):
            load_progress(progress.folder)
