"""Graded exercises at the command line: a file to write into, what is wrong with it, a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from llm_explainer.program import typed

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.tutorial.exercises.grading import Grade
    from llm_explainer.tutorial.exercises.table import Exercise
    from llm_explainer.tutorial.progress import Progress

_STYLES = {"passed": "green", "tried": "yellow", "": ""}


def grade_exercise(chapter: int, number: int) -> None:
    """Write an exercise's file, or grade what was written; exits with 1 if that is wrong.

    Raises:
        ConfigError: there is no such exercise, or the reader's progress is damaged.
        OSError: the file cannot be written or read.
    """
    from llm_explainer.console.terminal import make_console, show, working
    from llm_explainer.spelling import spelled_out
    from llm_explainer.tutorial.exercises.answers import AnswerError
    from llm_explainer.tutorial.exercises.attempt import try_answer
    from llm_explainer.tutorial.exercises.grading import grade_all
    from llm_explainer.tutorial.exercises.table import find_exercise
    from llm_explainer.tutorial.exercises.template import is_untouched
    from llm_explainer.tutorial.progress import load_progress

    exercise, progress, console = find_exercise(chapter, number), load_progress(), make_console()
    file = progress.folder / f"{chapter:02}-{number}-{exercise.function.replace('_', '-')}.py"
    if not file.exists() or is_untouched(file):
        _begin(console, exercise, file)
        return
    try:
        with working(console, "trying your answer"):
            result = grade_all(try_answer(exercise, file), exercise)
    except AnswerError as error:
        progress.note_try(exercise.name, passed=False, hint=str(error))
        show(console, f"{file}: ", str(error), style="red")
        raise typer.Exit(1) from None
    progress.note_try(exercise.name, passed=result.passed, hint=result.hint)
    if result.passed:
        names = ", ".join(result.right)
        show(console, f"right: {spelled_out(names)}", style="green")
        _show_next(console, exercise, progress)
        return
    _show_mistake(console, result)
    raise typer.Exit(1)


def _begin(console: Console, exercise: Exercise, file: Path) -> None:
    """Write the file with the hole, unless it is there, and say what to do."""
    from llm_explainer.console.terminal import show
    from llm_explainer.files import write_atomically
    from llm_explainer.tutorial.exercises.template import write_template

    command = typed("learn", str(exercise.chapter), "--exercise", str(exercise.number))
    heading = (
        f"Chapter {exercise.chapter}, exercise {exercise.number}: {exercise.title}.\n\n"
        f"{exercise.task}\nWrite what is missing, then: {command}"
    )
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        text = write_template(exercise.source, exercise.cut, heading)
        write_atomically(file, text.encode())
    show(console, f"{exercise.title}: {exercise.task}", style="bold")
    show(console, f"Write what is missing in {file}, then once more:")
    show(console, f"  {command}")


def _show_mistake(console: Console, result: Grade) -> None:
    from llm_explainer.console.terminal import show

    show(console, f"{result.wrong} is not right", style="bold red")
    for entry in result.entries:
        show(console, f"  {entry}")
    show(console, f"  {result.hint}")
    if result.right:
        show(console, f"  right: {', '.join(result.right)}", style="dim")


def _show_next(console: Console, exercise: Exercise, progress: Progress) -> None:
    from llm_explainer.console.terminal import show_next
    from llm_explainer.tutorial.exercises.table import exercises_of

    for other in exercises_of(exercise.chapter):
        if not progress.has_passed(other.name):
            command = typed("learn", str(other.chapter), "--exercise", str(other.number))
            show_next(console, [(command, f"{other.title}: {other.task}")])
            return


def show_report(progress: Progress) -> None:
    """Show all exercises, those that were tried with what came of it."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.spelling import spelled_out
    from llm_explainer.tutorial.exercises.table import EXERCISES
    from llm_explainer.tutorial.progress import Result

    console = make_console()
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("exercise", no_wrap=True)
    table.add_column("what to write", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("tries", justify="right", no_wrap=True)
    table.add_column("last hint")
    n_passed = 0
    for exercise in EXERCISES:
        result = progress.exercises.get(exercise.name, Result())
        state = "passed" if result.passed else "tried" if result.tries else ""
        n_passed += result.passed
        hint = "" if result.passed else spelled_out(result.hint)
        tries = str(result.tries) if result.tries else ""
        style = Text(state, style=_STYLES[state])
        table.add_row(exercise.name, exercise.title, style, tries, hint)
    console.print(table)
    show(console, f"{n_passed} of {len(EXERCISES)} passed", style="bold")
