"""The one way to a console: text is text, whatever is in it, and style is said beside it.

Rich reads ``[b]`` as a style and ``:fire:`` as a picture unless it is told not to, and a folder may
be called so. All commands print through consoles from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.text import Text

from llm_explainer.spelling import spelled_out

USUAL_WIDTH = 80


def make_console(*, stderr: bool = False) -> Console:
    """Return a console on which a string is shown as it is."""
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if console.width < 1:  # COLUMNS=0 says that nobody knows, and rich would show nothing
        console.width = USUAL_WIDTH
    return console


def is_live(console: Console) -> bool:
    """Return whether a console can show something that changes; others get lines."""
    return console.is_terminal and not console.is_dumb_terminal


@contextmanager
def working(console: Console, what: str) -> Iterator[Callable[[str], None]]:
    """Say what is being done for as long as the block takes, if somebody is watching.

    Gives what says something else.
    """
    if is_live(console):
        with console.status(Text(spelled_out(what))) as status:
            yield lambda now: status.update(Text(spelled_out(now)))
    else:
        if console.is_terminal:
            show(console, f"{what} ...")
        yield lambda now: None


def show(console: Console, *parts: str | Text, style: str = "") -> None:
    """Print parts as one line, which only the terminal breaks, so that it is copied whole."""
    line = Text(style=style)
    for part in parts:
        line.append(spelled_out(part)) if isinstance(part, str) else line.append_text(part)
    console.print(line, soft_wrap=True)


def show_next(console: Console, suggestions: Sequence[tuple[str, str]]) -> None:
    """Show commands to go on with; what each is for stands below it, not to be copied along."""
    show(console, "")
    show(console, "Next", style="bold")
    for command, purpose in suggestions:
        show(console, f"  {command}")
        if purpose:
            show(console, f"      {purpose}", style="dim")
