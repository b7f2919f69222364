"""The command that answers OpenAI's clients with one's own model."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.options import refuse
from llm_explainer.commands.talking import Dtype, Quantize
from llm_explainer.errors import ConfigError
from llm_explainer.program import extra

if TYPE_CHECKING:
    from llm_explainer.server.web.safety import Rules

KEY_VARIABLE = "LLM_EXPLAINER_API_KEY"
MOST_BATCH, MOST_QUEUE = 256, 100_000


def serve(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="a run, a checkpoint, a Hugging Face directory or a GGUF file"),
    ] = None,
    name: Annotated[
        str | None, Option(help="what requests call the model; by default its folder's name")
    ] = None,
    adapter: Annotated[
        list[str] | None,
        Option(help="NAME=PATH: adapters on the model, asked for by that name; repeatable"),
    ] = None,
    host: Annotated[str, Option(help="the address to listen at")] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="0 takes a free one")] = 8000,
    max_batch: Annotated[
        int, Option(min=1, max=MOST_BATCH, help="most texts that go on side by side")
    ] = 8,
    queue: Annotated[
        int, Option(min=0, max=MOST_QUEUE, help="most texts that wait; more are told to come later")
    ] = 64,
    api_key_file: Annotated[
        Path | None,
        Option(help=f"a file with the key that requests have to carry; or {KEY_VARIABLE} has it"),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        Option(help="let pages of this origin ask, such as http://localhost:3000; repeatable"),
    ] = None,
    allowed_host: Annotated[
        list[str] | None,
        Option(help="a further name or address by which the service is asked; repeatable"),
    ] = None,
    best: Annotated[
        bool, Option("--best", help="of a run the checkpoint that did best, not the newest")
    ] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
) -> None:
    """Serve a model to OpenAI's clients, to curl, and to a page in your browser.

    Texts of all who ask go on side by side, and each is the same as alone. Only this machine can
    ask, unless --host says otherwise; pages of other origins cannot. Ctrl-C answers what was asked
    and ends; a second one ends at once. What each parameter does: docs/serving.md.

    Examples:

      uv run run_demo.py serve runs/quick

      uv run run_demo.py serve runs/full/pretrained --adapter stories=runs/full/lora --port 9000

      curl http://127.0.0.1:8000/v1/completions -H "Content-Type: application/json" -d
      '{"model": "quick", "prompt": "Once", "max_tokens": 50}'
    """
    try:
        from llm_explainer.server.web.running import Server, listen
    except ImportError:
        raise ConfigError(
            f"serving takes starlette and uvicorn, which are not installed; {extra('serve')} "
            "brings them"
        ) from None
    import time

    from llm_explainer.commands.signals import on_signals
    from llm_explainer.console.streams import say
    from llm_explainer.server.engine import Engine
    from llm_explainer.server.web.app import Service

    host = host.removeprefix("[").removesuffix("]")  # as an address of IPv6 stands in a URL
    rules = read_rules(host, allowed_host or [], cors_origin or [], read_key(api_key_file))
    kept: dict[str, Any] = {"best": best, "backend": backend, "dtype": dtype, "quantize": quantize}
    with listen(host, port) as listening:  # a port that is taken is known before a model is loaded
        models = load_models(checkpoint, name, adapter or [], **kept)
        engine = Engine(models, max_batch=max_batch, queue=queue)
        server = Server(
            Service(engine, rules, most_texts=max_batch + queue, created=int(time.time()))
        )
        stopped = False

        def drain(number: int) -> None:
            server.drain()
            say("ending when all that was asked is answered; once more ends now", dim=True)

        def stop(number: int) -> None:
            nonlocal stopped
            stopped = True
            server.stop()

        try:
            if rules.key is None and not is_loopback(host):
                say("note: other machines can ask, and there is no key: see --api-key-file")
            with on_signals(drain, stop):
                server.run_on(listening, lambda: _welcome(host, listening.getsockname(), models))
        finally:
            engine.close(drain=not stopped)


def _welcome(host: str, address: tuple[Any, ...], models: dict[str, Any]) -> None:
    from llm_explainer.console.streams import say

    shown = f"[{host}]" if ":" in host else host
    url = f"http://{shown}:{address[1]}"
    say(f"serving {', '.join(models)} at {url} (a page for your browser)")
    say(f"for OpenAI's clients the base URL is {url}/v1; Ctrl-C ends", dim=True)


def load_models(
    checkpoint: Path | None,
    name: str | None,
    adapters: list[str],
    *,
    best: bool,
    backend: str,
    dtype: str = "float32",
    quantize: int | None = None,
) -> dict[str, Any]:
    """Return models and tokenizers by the names that requests have for them.

    Raises:
        LLMExplainerError: no such model, damage, or a name that is there twice.
    """
    from llm_explainer.checkpoint import load_adapter, load_tokenizer_of
    from llm_explainer.checkpoint.storage import Storage, refuse_adapters
    from llm_explainer.commands.talking import load_named, note
    from llm_explainer.training.runs.names import RUNS, newest_run

    if checkpoint is None:
        checkpoint = newest_run(RUNS)
        note(f"model: {checkpoint}")
    model, tokenizer = load_named(
        checkpoint, None, best=best, backend=backend, dtype=dtype, quantize=quantize
    )
    whole = checkpoint.resolve()
    if name is None:
        name = whole.stem if whole.is_file() else whole.name
        name = name if is_name(name) else "model"
    elif not is_name(name):
        raise ConfigError(f"name is {name!r}; it takes a name of printable characters")
    models = {name: (model, tokenizer)}
    for each in adapters:
        given, _, path = each.partition("=")
        if not (is_name(given) and path):
            raise ConfigError(f"adapter is {each!r}; it takes NAME=PATH")
        if given in models:
            raise ConfigError(f"adapter is {each!r}, and there is a model {given} already")
        refuse_adapters(Storage(dtype, quantize), Path(path))
        adapted = load_adapter(path, model)
        models[given] = (adapted, load_tokenizer_of(path, model.config) or tokenizer)
    return models


def is_name(text: str) -> bool:
    """Return whether requests can have a text as a model's name."""
    return bool(text.strip()) and text.isprintable()


def read_key(file: Path | None) -> str | None:
    """Return the key that requests have to carry; None for none.

    Raises:
        ConfigError: a key that is empty, that no header can carry, or that is given twice.
    """
    from_environment = os.environ.get(KEY_VARIABLE)
    if file is None and from_environment is None:
        return None
    if file is not None and from_environment is not None:
        refuse({"api_key_file"}, f"{KEY_VARIABLE} is set")
    key = from_environment if file is None else file.read_text(encoding="utf-8", errors="replace")
    key = (key or "").strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        where = KEY_VARIABLE if file is None else str(file)
        raise ConfigError(f"the key in {where} is empty, or no word of ASCII")
    return key


def read_rules(host: str, hosts: list[str], origins: list[str], key: str | None) -> Rules:
    """Return who may ask.

    Raises:
        ConfigError: an origin that is none, or a host that is no name or address alone.
    """
    from llm_explainer.server.web.safety import LOOPBACK, Rules

    for origin in origins:
        scheme, _, rest = origin.partition("://")
        if scheme not in ("http", "https") or not rest or "/" in rest or "*" in rest:
            raise ConfigError(
                f"cors_origin is {origin!r}; it takes one like http://localhost:3000, and no *"
            )
    for each in hosts:
        if not re.fullmatch(r"[\w.-]+|\[[0-9a-fA-F:.]+\]", each, re.ASCII):
            raise ConfigError(
                f"allowed_host is {each!r}; it takes one like box.home or [fe80::1], and no port"
            )
    own = f"[{host}]" if ":" in host else host
    named = {each.lower() for each in (*hosts, own) if each not in ("0.0.0.0", "[::]")}
    return Rules(LOOPBACK | named, frozenset(each.lower() for each in origins), key)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can ask at an address."""
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
