"""The command that leads through the Tutorial: its chapters, and whether they are true."""

from __future__ import annotations

import sys
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from llm_explainer.errors import ConfigError
from llm_explainer.program import typed

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.tutorial.chapters import Chapter
    from llm_explainer.tutorial.progress import Progress


def learn(
    chapter: Annotated[int | None, Argument(help="its number; without one, all are listed")] = None,
    exercise: Annotated[
        int | None, Option(help="write the file of a chapter's graded exercise, or grade it")
    ] = None,
    report: Annotated[
        bool, Option("--report", help="all graded exercises, and how you did")
    ] = False,
    html: Annotated[
        Path | None, Option(help="write all chapters as a site into this folder")
    ] = None,
    sheets: Annotated[
        Path | None, Option(help="write exercises and solutions, two pages to print, into it")
    ] = None,
    check: Annotated[
        bool, Option("--check", help="run all of a chapter, and say what isn't as it says")
    ] = False,
) -> None:
    """Learn how all of this works: the Tutorial, chapter by chapter, its code run before your eyes.

    Where a block prints something, say first what you expect; Enter runs it. How far you came is
    kept in learning/, in the folder in which you are.

    Graded exercises cut a piece out of the real code. The first call writes a file with the hole,
    the next one says which number of your answer is wrong, and what the usual cause is.

    Examples:

      uv run run_demo.py learn

      uv run run_demo.py learn 4

      uv run run_demo.py learn 4 --exercise 2

      uv run run_demo.py learn --report

      uv run run_demo.py learn 4 --check

      uv run run_demo.py learn --html site

      uv run run_demo.py learn --sheets class
    """
    from llm_explainer.console.terminal import make_console
    from llm_explainer.tutorial.chapters import find_chapters, read_chapter
    from llm_explainer.tutorial.progress import load_progress
    from llm_explainer.tutorial.thread import tutorial_folder

    if exercise is not None:
        from llm_explainer.commands.learn_exercise import grade_exercise

        if chapter is None:
            raise ConfigError(f"--exercise {exercise} of which chapter? As in learn 4 --exercise 2")
        grade_exercise(chapter, exercise)
        return
    if report:
        from llm_explainer.commands.learn_exercise import show_report

        if chapter is not None:
            raise ConfigError(f"--report shows the exercises of all chapters; leave out {chapter}")
        show_report(load_progress())
        return
    paths = find_chapters(tutorial_folder())
    if chapter is not None and chapter not in paths:
        numbers = ", ".join(str(number) for number in paths)
        raise ConfigError(f"there is no chapter {chapter}; there are {numbers}")
    console = make_console()
    chosen = [read_chapter(paths[number]) for number in ([chapter] if chapter else paths)]
    if html is not None:
        _write_site(console, chosen, html)
    elif sheets is not None:
        _write_sheets(console, chosen, sheets)
    elif check:
        _check(console, chosen)
    elif chapter is None:
        _list(console, chosen, load_progress())
    else:
        _walk(console, chosen[0], load_progress())


def _list(console: Console, chapters: list[Chapter], progress: Progress) -> None:
    """Show what there is to learn, and what of it was read."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from llm_explainer.console.terminal import show_next
    from llm_explainer.tutorial.exercises.table import exercises_of

    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("chapter", no_wrap=True)
    table.add_column("the question")
    table.add_column("minutes", justify="right", no_wrap=True)
    table.add_column("read", no_wrap=True)
    table.add_column("exercises", justify="right", no_wrap=True)
    for chapter in chapters:
        is_read = chapter.number in progress.read
        graded = [exercise.name for exercise in exercises_of(chapter.number)]
        passed = sum(progress.has_passed(name) for name in graded)
        table.add_row(
            chapter.title,
            chapter.question,
            str(chapter.minutes),
            Text("yes" if is_read else "", style="green"),
            f"{passed} of {len(graded)}" if graded else "",
        )
    console.print(table)
    unread = [chapter.number for chapter in chapters if chapter.number not in progress.read]
    if unread:
        show_next(console, [(typed("learn", str(unread[0])), "")])


def _walk(console: Console, chapter: Chapter, progress: Progress) -> None:
    """Lead through a chapter; at its end it counts as read."""
    from llm_explainer.console.chapter_view import ChapterView
    from llm_explainer.console.terminal import show_next
    from llm_explainer.tutorial.exercises.table import exercises_of

    stepwise = sys.stdin.isatty() and console.is_terminal
    if not ChapterView(console, _goes_on if stepwise else None).show(chapter):
        return
    progress.read.add(chapter.number)
    progress.save()
    graded = exercises_of(chapter.number)
    next_ = [(typed("learn"), "the other chapters, and what you have read")]
    if graded:
        command = typed("learn", str(chapter.number), "--exercise", "1")
        next_.insert(0, (command, f"write it yourself; {len(graded)} such, each is graded"))
    show_next(console, next_)


def _goes_on() -> bool:
    """Wait for Enter; false at q, or where nothing more comes."""
    try:
        return input().strip().lower() not in ("q", "quit", "exit")
    except EOFError:
        return False


def _write_site(console: Console, chapters: list[Chapter], out: Path) -> None:
    from llm_explainer.console.terminal import show
    from llm_explainer.tutorial.site import write_site

    pages = write_site(chapters, out)
    show(console, f"{len(pages)} pages; begin with {pages[0]}")


def _write_sheets(console: Console, chapters: list[Chapter], out: Path) -> None:
    from llm_explainer.console.terminal import show
    from llm_explainer.tutorial.sheets import write_sheets

    exercises, solutions = write_sheets(chapters, out)
    show(console, f"{exercises} to hand out, and {solutions}; print them from a browser")


def _check(console: Console, chapters: list[Chapter]) -> None:
    """Run chapters, and say what isn't as they say; exits with 1 if something isn't."""
    from llm_explainer.console.terminal import show, working
    from llm_explainer.tutorial.pages import check_page
    from llm_explainer.tutorial.running import check_chapter

    n_mistakes = 0
    for chapter in chapters:
        with working(console, f"running {chapter.path.name}"):
            mistakes = [*check_chapter(chapter), *check_page(chapter)]
        if mistakes:
            show(console, f"{chapter.path.name}: {len(mistakes)} mistakes", style="bold red")
        else:
            n_blocks = sum(block.runs for block in chapter.blocks)
            others = len(chapter.steps) - n_blocks
            counts = f"{n_blocks} blocks, {others} excerpts and numbers"
            show(console, f"{chapter.path.name}: {counts} are as it says", style="green")
        for mistake in sorted(mistakes, key=attrgetter("line")):
            show(console, f"  {mistake}")
        n_mistakes += len(mistakes)
    if n_mistakes:
        raise typer.Exit(1)
