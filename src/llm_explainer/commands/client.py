"""The command that asks a served model: tokens of a text, a text that goes on, a conversation."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.history import typed_lines
from llm_explainer.commands.serve import KEY_VARIABLE, read_key
from llm_explainer.commands.talking import note, write

if TYPE_CHECKING:
    from llm_explainer.server.client import Client


def client(
    url: Annotated[str, typer.Argument(help="where the service is, as http://127.0.0.1:8000")],
    prompt: Annotated[str | None, Option("--prompt", "-p", help="continue this text, once")] = None,
    tokenize: Annotated[str | None, Option(help="show the tokens of this text")] = None,
    model: Annotated[str | None, Option(help="whom to ask; by default the first")] = None,
    system: Annotated[
        str | None, Option(help="what the model is told before the first turn")
    ] = None,
    max_tokens: Annotated[int, Option(min=1, help="most tokens to add")] = 200,
    temperature: Annotated[float, Option(help="0 always takes the likeliest token")] = 0.8,
    seed: Annotated[int | None, Option(help="the same seed gives the same text")] = None,
    api_key_file: Annotated[
        Path | None, Option(help=f"a file with the service's key; or {KEY_VARIABLE} has it")
    ] = None,
) -> None:
    """Ask a served model from a terminal, ours or another that speaks as OpenAI does.

    Without --prompt and --tokenize it is a conversation; with a model that knows none, each line is
    continued. The model's text goes to stdout, all else to stderr.

    Examples:

      uv run run_demo.py client http://127.0.0.1:8000

      uv run run_demo.py client http://127.0.0.1:8000 --prompt "Once there was" --temperature 0

      uv run run_demo.py client http://127.0.0.1:8000 --tokenize "Once there was a shy fox"
    """
    from llm_explainer.server.client import Client, ServiceError

    service = Client(url, read_key(api_key_file))
    known = service.models()
    if not known:
        raise ServiceError(f"{url} serves no model")
    chosen = next((each for each in known if each.get("id") == model), known[0])
    name = str(model or chosen.get("id"))
    if tokenize is not None:
        _show_tokens(service, name, tokenize)
        return
    asked: dict[str, Any] = {"model": name, "max_tokens": max_tokens, "temperature": temperature}
    if seed is not None:
        asked["seed"] = seed
    if prompt is not None:
        _show(_texts(service, {**asked, "prompt": prompt}))
    elif chosen.get("chat", True):
        _converse(service, asked, system)
    else:
        note(f"{name} knows no conversations; what you write is continued. Ctrl-D leaves.")
        for line in typed_lines():
            _show(_texts(service, {**asked, "prompt": line}))


def _show_tokens(service: Client, name: str, text: str) -> None:
    """Print a line for each token: its id, and its text as Python would write it."""
    from llm_explainer.server.client import ServiceError

    answer = service.ask("POST", "/tokenize", {"model": name, "prompt": text})
    tokens, pieces = answer.get("tokens"), answer.get("token_strs")
    if not isinstance(tokens, list) or not isinstance(pieces, list) or len(tokens) != len(pieces):
        raise ServiceError("the service does not say what the tokens of a text are")
    for token, piece in zip(tokens, pieces, strict=True):
        write(f"{token!s:>8}  {piece!r}\n")
    note(f"{len(tokens)} tokens")


def _converse(service: Client, asked: dict[str, Any], system: str | None) -> None:
    """Let a person and a model speak in turns; the conversation so far goes before each.

    What a person types that is refused is no turn, and the conversation goes on.
    """
    from llm_explainer.server.client import ServiceError

    note(f"you speak with {asked['model']}. Ctrl-D leaves.")
    told = [] if system is None else [{"role": "system", "content": system}]
    turns: list[dict[str, str]] = []
    for line in typed_lines():
        try:
            turns = _take_turn(service, asked, told, [*turns, {"role": "user", "content": line}])
        except ServiceError as error:
            if not sys.stdin.isatty():
                raise
            note(f"error: {error}")


def _take_turn(
    service: Client,
    asked: dict[str, Any],
    told: list[dict[str, str]],
    turns: list[dict[str, str]],
) -> list[dict[str, str]]:
    """Show the model's answer; return the turns with it, without the oldest if there is no room.

    Raises:
        ServiceError: there is none.
    """
    from llm_explainer.server.client import ServiceError

    try:
        said = _show(_answers(service, {**asked, "messages": [*told, *turns]}))
    except ServiceError as error:
        if error.code != "context_length_exceeded" or len(turns) < 3:
            raise
        note("the conversation is longer than the model's context: its oldest turn is left out")
        return _take_turn(service, asked, told, turns[2:])
    return [*turns, {"role": "assistant", "content": said}]


def _show(pieces: Iterator[str]) -> str:
    """Write pieces as they come, and a line break if there are any; return all of them."""
    text = ""
    try:
        for piece in pieces:
            write(piece)
            text += piece
    except BaseException:
        write("\n" if text else "")
        raise
    write("\n")
    return text


def _texts(service: Client, body: dict[str, Any]) -> Iterator[str]:
    for choice in service.stream("/v1/completions", body):
        yield str(choice.get("text") or "")


def _answers(service: Client, body: dict[str, Any]) -> Iterator[str]:
    for choice in service.stream("/v1/chat/completions", body):
        delta = choice.get("delta")
        yield str(delta.get("content") or "") if isinstance(delta, dict) else ""
