"""Running a command: one line for an error, quiet for Ctrl-C and for a reader that went away."""

from __future__ import annotations

import io
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TextIO

import typer
from typer.exceptions import TyperException

from llm_explainer.commands.signals import Ended, end, exit_code_of, on_signals
from llm_explainer.errors import LLMExplainerError, LLMExplainerWarning

FAILED = 2
"""Exit code of a command that could not do what was asked, as for a wrong option."""

_DEBUG = "--debug"


def run(program: typer.Typer | Callable[..., None]) -> NoReturn:
    """Run an app of several commands, or a function as the only one, and exit.

    0 for success, 2 for an error with one line on stderr, 130 for Ctrl-C, 143 and 129 for a polite
    kill and a closed terminal, 1 for output that nobody reads any more. Every command takes
    ``--debug``, which shows an error's traceback. An app alone shows its help.
    """
    app = program if isinstance(program, typer.Typer) else _single_command(program)
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a narrow terminal is no reason to crash
    warnings.showwarning = _show_warning
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    if not arguments and app is program:
        arguments = ["--help"]
    try:
        # Typer turns Ctrl-C and a closed pipe into exit codes; None is a command that came through.
        with on_signals(end, end):
            exit_code = typer.main.get_command(app).main(arguments, standalone_mode=False)
    except Ended as ended:
        with suppress(OSError):  # of a terminal that is closed
            typer.secho(f"ended by {signal.Signals(ended.number).name}", err=True)
        sys.exit(exit_code_of(ended.number))
    except (LLMExplainerError, OSError, TyperException) as error:
        if _DEBUG in sys.argv:
            raise
        typer.secho(f"error: {_in_one_line(error)}", err=True, fg="red")
        sys.exit(FAILED)
    sys.exit(exit_code or 0)


def _in_one_line(error: Exception) -> str:
    """Return what went wrong; for a wrong option also where to read about the right ones."""
    if not isinstance(error, TyperException):
        return " ".join(str(error).split())
    context = getattr(error, "ctx", None)
    message = " ".join(error.format_message().split())
    return f"{message} [see {context.command_path} --help]" if context else message


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show what the library has to say in one line, without the place in its code."""
    if issubclass(category, LLMExplainerWarning):
        typer.secho(f"note: {message}", err=True, dim=True)
    else:
        _python_shows_warning(message, category, filename, lineno, file, line)


_python_shows_warning = warnings.showwarning


def _single_command(function: Callable[..., None]) -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    app.command(epilog=f"{_DEBUG} shows the traceback of an error.")(function)
    return app
