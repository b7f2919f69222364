"""The command that leads through the Tutorial: its chapters, and whether they are true."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from llm_explainer.errors import ConfigError

if TYPE_CHECKING:
    from llm_explainer.tutorial.chapters import Chapter


def learn(
    chapter: Annotated[int | None, Argument(help="its number; without one, all are listed")] = None,
    check: Annotated[
        bool, Option("--check", help="run all of a chapter, and say what isn't as it says")
    ] = False,
) -> None:
    """Learn how all of this works: the Tutorial, chapter by chapter.

    Examples:

      uv run run_demo.py learn

      uv run run_demo.py learn --check 4
    """
    from llm_explainer.tutorial.chapters import find_chapters, read_chapter
    from llm_explainer.tutorial.thread import tutorial_folder

    paths = find_chapters(tutorial_folder())
    if chapter is not None and chapter not in paths:
        numbers = ", ".join(str(number) for number in paths)
        raise ConfigError(f"there is no chapter {chapter}; there are {numbers}")
    chosen = [read_chapter(paths[number]) for number in ([chapter] if chapter else paths)]
    if check:
        _check(chosen)


def _check(chapters: list[Chapter]) -> None:
    """Run chapters, and say what isn't as they say; exits with 1 if something isn't."""
    from llm_explainer.console.terminal import make_console, show, working
    from llm_explainer.tutorial.pages import check_page
    from llm_explainer.tutorial.running import check_chapter

    console = make_console()
    n_mistakes = 0
    for chapter in chapters:
        with working(console, f"running {chapter.path.name}"):
            mistakes = [*check_chapter(chapter), *check_page(chapter)]
        n_blocks = sum(block.runs for block in chapter.blocks)
        if mistakes:
            show(console, f"{chapter.path.name}: {len(mistakes)} mistakes", style="bold red")
        else:
            n_steps = len(chapter.steps)
            show(
                console,
                f"{chapter.path.name}: {n_blocks} blocks, {n_steps - n_blocks} excerpts and "
                f"numbers are as it says",
                style="green",
            )
        for mistake in sorted(mistakes, key=attrgetter("line")):
            show(console, f"  {mistake}")
        n_mistakes += len(mistakes)
    if n_mistakes:
        raise typer.Exit(1)
