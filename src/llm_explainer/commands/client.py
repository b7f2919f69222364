"""The command that asks a served model: tokens of a text, a text that goes on, a conversation."""

from __future__ import annotations

import os
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
    answer = service.ask("POST", "/tokenize", {"model": name, "prompt": text})
    for token, piece in zip(answer["tokens"], answer["token_strs"], strict=True):
        write(f"{token:>8}  {piece!r}\n")
    note(f"{answer['count']} tokens")


def _converse(service: Client, asked: dict[str, Any], system: str | None) -> None:
    """Let a person and a model speak in turns; the conversation so far goes before each."""
    note(f"you speak with {asked['model']}. Ctrl-D leaves.")
    turns = [] if system is None else [{"role": "system", "content": system}]
    for line in typed_lines():
        turns.append({"role": "user", "content": line})
        said = _show(_answers(service, {**asked, "messages": turns}))
        turns.append({"role": "assistant", "content": said})


def _show(pieces: Iterator[str]) -> str:
    """Write pieces as they come; return all of them."""
    text = ""
    for piece in pieces:
        write(piece)
        text += piece
    write(os.linesep)
    return text


def _texts(service: Client, body: dict[str, Any]) -> Iterator[str]:
    for event in service.stream("/v1/completions", body):
        for choice in event["choices"]:
            yield choice.get("text") or ""


def _answers(service: Client, body: dict[str, Any]) -> Iterator[str]:
    for event in service.stream("/v1/chat/completions", body):
        for choice in event["choices"]:
            yield choice["delta"].get("content") or ""
