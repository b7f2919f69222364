"""Running a command: one line for an error, quiet for Ctrl-C and for a reader that went away."""

from __future__ import annotations

import functools
import inspect
import logging
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Annotated, Any, NoReturn, TextIO

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from llm_explainer.commands.exclusions import refuse_without_effect
from llm_explainer.commands.group import function_of, make_app
from llm_explainer.commands.limits import check_threads
from llm_explainer.commands.options import given
from llm_explainer.commands.signals import Ended, end, exit_code_of, on_signals
from llm_explainer.console.streams import give_up_lost_streams, prepare_streams, say
from llm_explainer.errors import LLMExplainerError, LLMExplainerWarning
from llm_explainer.program import Command, as_typed

FAILED = 2
"""Exit code of a command that could not do what was asked, as for a wrong option."""

INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended, as shells have it."""

_DEBUG, _VERSION = "--debug", "--version"
_given_again: set[str] = set()  # options of which all but the last had no effect
_HELP = {"help_option_names": ["--help", "-h"]}


Program = typer.Typer | Callable[..., None] | Command | Sequence[Command]


def run(program: Program) -> NoReturn:
    """Run an app of several commands, or one command alone, and exit.

    A command of the program's table is imported when it is known that it can work here.

    0 for success, 2 for an error with one line on stderr, 130 for Ctrl-C, 143 and 129 for a polite
    kill and a closed terminal, 1 for output that nobody reads any more. Every command takes
    ``--debug``, which shows an error's traceback; every program ``--version``. An app alone shows
    its help.
    """
    prepare_streams()
    warnings.showwarning = _show_warning
    # It has much to say about a home folder that it cannot write to, and does without all the same.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    # Not a matter for the commands, and to be known also where their options cannot be read.
    arguments = [argument for argument in sys.argv[1:] if argument != _DEBUG]
    if not arguments and isinstance(program, (typer.Typer, Sequence)):
        arguments = ["--help"]
    if arguments == [_VERSION]:
        sys.stdout.write(f"llm-explainer {version('llm-explainer')}\n")
        sys.exit()
    try:
        check_threads()
        app = _app(program, arguments)
        # Typer turns Ctrl-C and a closed pipe into exit codes; None is a command that came through.
        with on_signals(end, end):
            _given_again.clear()
            exit_code = typer.main.get_command(app).main(arguments, standalone_mode=False)
        for option in sorted(_given_again):
            say(f"note: {option} was given more than once; the last one counted", dim=True)
    except Ended as ended:
        say(f"ended by {signal.Signals(ended.number).name}")
        sys.exit(exit_code_of(ended.number))
    except (LLMExplainerError, OSError, TyperException, MemoryError, RuntimeError) as error:
        if _DEBUG in sys.argv or (isinstance(error, RuntimeError) and not _out_of_threads(error)):
            raise
        say(f"error: {_in_one_line(error)}", color="red")
        sys.exit(FAILED)
    except KeyboardInterrupt:  # before Typer was there to take it
        sys.exit(INTERRUPTED)
    finally:
        give_up_lost_streams()
    sys.exit(exit_code or 0)


class CarefulCommand(TyperCommand):
    """A command that reads over no option, and names commands as its user types them."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.help = as_typed(self.help or "")
        for parameter in self.params:
            option: Any = parameter  # an argument may have no help
            if text := getattr(option, "help", None):
                option.help = as_typed(text)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments; refuse an option that has no effect.

        Of one that is there twice the last counts, as for most programs; a note at the end says so.
        """
        order = self.make_parser(ctx).parse_args(args=list(args))[2]
        single = [each for each in order if each.param_type_name == "option" and not each.multiple]
        _given_again.update(each.opts[0] for each in single if single.count(each) > 1)
        rest = super().parse_args(ctx, args)
        assert self.callback is not None  # every command is a function
        refuse_without_effect(self.callback.__name__, ctx.params, given(ctx))
        return rest

    def invoke(self, ctx: Any) -> Any:
        """Run the command; an error about a setting names its option, which is what was typed."""
        try:
            return super().invoke(ctx)
        except LLMExplainerError as error:
            setting, _, problem = str(error).partition(" is ")
            for option in self.params:
                if option.name == setting and option.param_type_name == "option":
                    error.args = (f"{option.opts[0]} is {problem}",)
            raise


def _in_one_line(error: Exception) -> str:
    """Return what went wrong; for a wrong option also where to read about the right ones."""
    if isinstance(error, MemoryError):
        return _line(f"there is not enough memory; {str(error) or 'use a smaller model or batch'}")
    if _out_of_threads(error):
        return (
            "the system allows this user no more processes or threads; end some, or raise the "
            "limit (ulimit -u)"
        )
    if isinstance(error, OSError) and error.strerror:
        names = [
            str(name).replace("\n", "\\n")
            for name in (error.filename, error.filename2)
            if name is not None
        ]
        return _line(": ".join([" -> ".join(names), error.strerror] if names else [error.strerror]))
    if not isinstance(error, TyperException):
        return _line(str(error))
    context = getattr(error, "ctx", None)
    message = _line(error.format_message())
    return f"{message} [see {context.command_path} --help]" if context else message


def _line(text: str) -> str:
    """Return text without line breaks; white space in it may be part of a name and stays."""
    return " ".join(line.strip() for line in text.splitlines())


def _out_of_threads(error: Exception) -> bool:
    # threading raises a RuntimeError that says so; a fork that fails, a BlockingIOError.
    return isinstance(error, BlockingIOError) or "start new thread" in str(error)


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
        say(f"note: {message}", dim=True)
    elif not issubclass(category, RuntimeWarning):  # NumPy's, of numbers that are checked anyway
        _python_shows_warning(message, category, filename, lineno, file, line)


_python_shows_warning = warnings.showwarning


def _app(program: Program, arguments: Sequence[str] | None = None) -> typer.Typer:
    """Return the app that a program is, each of its commands with ``--debug``."""
    if isinstance(program, Command):
        program = function_of(program)
    elif isinstance(program, Sequence):
        program = make_app(program, arguments)
    if isinstance(program, typer.Typer):
        program.info.context_settings = _HELP
    else:
        function, program = program, typer.Typer(add_completion=False, rich_markup_mode="markdown")
        program.command()(function)
    for command in program.registered_commands:
        command.cls = CarefulCommand
        command.context_settings = {**(command.context_settings or {}), **_HELP}
        assert command.callback is not None  # every command is a function
        command.callback = _with_debug(command.callback)
    return program


def _with_debug(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command in whose list of options ``--debug`` stands; ``run`` acts on it."""
    signature = inspect.signature(command, eval_str=True)
    if "debug" in signature.parameters:
        return command
    option = typer.Option(_DEBUG, help="show the traceback of an error")
    debug = inspect.Parameter(
        "debug",
        inspect.Parameter.KEYWORD_ONLY,
        default=False,
        annotation=Annotated[bool, option],
    )

    @functools.wraps(command)
    def without_it(*arguments: Any, debug: bool, **options: Any) -> None:
        command(*arguments, **options)

    parameters = [*signature.parameters.values(), debug]
    without_it.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    )
    without_it.__annotations__ = {p.name: p.annotation for p in parameters}
    return without_it
