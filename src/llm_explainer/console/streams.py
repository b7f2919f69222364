"""The three standard streams, which may be closed, narrow, dumb, or not to be coloured.

Nothing here needs rich, so that a command that fails at once is quick to say so.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from contextlib import suppress

import typer

from llm_explainer.spelling import spelled_out


def prepare_streams() -> None:
    """Let no stream end a command by what it is.

    One that was closed when we started gets a place that takes everything. In this order each gets
    the number that is its own (0, 1, 2), so that no file that is opened later gets it, and with it
    what other libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a narrow terminal is no reason to crash


def say(line: str, *, color: str | None = None, dim: bool = False) -> None:
    """Print a line on stderr, in a style if it is a terminal that is to have one.

    Where stderr is full, or a terminal that was closed, there is nobody left to tell.
    """
    with suppress(OSError):
        if wants_style(os.environ):
            typer.secho(spelled_out(line), err=True, fg=color, dim=dim or None)
        else:
            typer.echo(spelled_out(line), err=True)


def give_up_lost_streams() -> None:
    """Let what a full disk, or a reader that went away, did not take go nowhere.

    Python would try to write it again, and once more at its end.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)


def wants_style(environment: Mapping[str, str]) -> bool:
    """Return whether text may have colours and weights: see no-color.org, and TERM in terminfo."""
    return not environment.get("NO_COLOR") and environment.get("TERM") not in ("dumb", "unknown")
