"""The app of several commands, of which only the one that was asked for is imported."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

import typer

from llm_explainer.program import Command, typed

_PASS_ON = {"ignore_unknown_options": True, "allow_extra_args": True}


def make_app(commands: Sequence[Command], arguments: Sequence[str] | None = None) -> typer.Typer:
    """Return an app of commands.

    Args:
        commands: in the order in which they are listed.
        arguments: what was typed: a command that these don't begin with has a name and a line of
            help, and no code. None for an app in which all is there.
    """
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="markdown",
        help="A complete language model, from tokenizer to text, that you can read to the bottom.",
        epilog=f"Begin with `{typed('quick')}`, and `learn` how it works. To train on your own "
        f"text: `{typed('pretrain', '--help')}`. --debug shows the traceback of an error.",
    )
    asked = [command for command in commands if arguments and command.name == arguments[0]]
    for command in commands:
        function = function_of(command) if arguments is None or command in asked else None
        app.command(
            command.name,
            help=None if function or asked else _summary(command),
            epilog=f"How it works: `{typed('learn', str(command.chapter))}`."
            if command.chapter
            else None,
            context_settings=_PASS_ON if command.takes_anything else None,
        )(function or (lambda: None))
    return app


def function_of(command: Command) -> Callable[..., None]:
    """Import a command."""
    module, _, name = command.place.partition(":")
    found = getattr(import_module(f"{__package__}.{module}"), name)
    return cast(Callable[..., None], found)


def _summary(command: Command) -> str:
    """Return the first paragraph of a command's docstring, without what importing it takes."""
    module, _, name = command.place.partition(":")
    source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    found = next(
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return (ast.get_docstring(found) or "").partition("\n\n")[0]
