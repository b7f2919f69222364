"""The command that lets a trained model write: once, many times, or in a session."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.history import typed_lines
from llm_explainer.commands.options import Options, with_options
from llm_explainer.console.streams import say, wants_style
from llm_explainer.errors import GenerationError
from llm_explainer.generation import SamplingConfig
from llm_explainer.run_folders import best_checkpoint
from llm_explainer.training.runs.names import RUNS, newest_run

if TYPE_CHECKING:
    from llm_explainer.generation.session import Session

MOST_SAMPLES = 100_000
SAMPLING = Options("How the next token is chosen", SamplingConfig, omit=("stop",))


@with_options(SAMPLING)
def generate(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="a run, a checkpoint, or a GPT-2 or Llama directory from elsewhere"),
    ] = None,
    prompt: Annotated[
        list[str] | None, Option("--prompt", "-p", help="the text to continue; repeatable")
    ] = None,
    prompt_file: Annotated[
        Path | None, Option(help="a UTF-8 file with a text to continue, as it is")
    ] = None,
    adapter: Annotated[
        Path | None, Option(help="adapters to put on the checkpoint: a LoRA run, or PEFT's folder")
    ] = None,
    stop: Annotated[
        list[str] | None, Option(help=r"end before this text (\n is a line break); repeatable")
    ] = None,
    samples: Annotated[int, Option(help="texts to write, each another one")] = 1,
    echo: Annotated[bool, Option(help="show the prompt before its continuation")] = True,
    interactive: Annotated[
        bool, Option("--interactive", "-i", help="a session, with the prompt as its first line")
    ] = False,
    chat: Annotated[
        bool, Option("--chat", help="talk to the model, in the words of its chat template")
    ] = False,
    system: Annotated[
        str | None, Option(help="with --chat: what the model is told before the first turn")
    ] = None,
    best: Annotated[
        bool, Option("--best", help="of a run the checkpoint that did best, not the newest")
    ] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    **settings: Any,
) -> None:
    """Let a trained model continue a text; without one, open a session with it.

    The checkpoint is by default the newest one under runs/. The text comes from --prompt, from a
    file or from a pipe; an empty one starts a new document; several are continued together. The
    model's text goes to stdout, all else to stderr.

    Examples:

      uv run run_demo.py generate

      uv run run_demo.py generate --prompt "Once upon a time" --temperature 0.6 --seed 7

      uv run run_demo.py generate runs/quick --prompt "" --samples 5 --max-tokens 200

      echo "Lily found a key" | uv run run_demo.py generate --top-k 40 --top-p 1 > story.txt

      uv run run_demo.py generate runs/chat --chat
    """
    from llm_explainer.generation.session import unescape

    sampling = SamplingConfig(**settings, stop=[unescape(text) for text in stop or []])
    if not 1 <= samples <= MOST_SAMPLES:
        raise GenerationError(f"--samples is {samples}; it takes 1 to {MOST_SAMPLES}")
    if interactive and samples > 1:
        raise GenerationError(f"--samples {samples} does not go with --interactive; leave one out")
    if chat and samples > 1:
        raise GenerationError(f"--samples {samples} does not go with --chat; leave one out")
    if system is not None and not chat:
        raise GenerationError("--system goes with --chat only; add that, or leave it out")
    texts = [*(prompt or []), *([_read_file(prompt_file)] if prompt_file else [])]
    if not texts and not interactive and not sys.stdin.isatty():
        texts = [_read_pipe()]
    if len(texts) > 1 and (interactive or chat):
        raise GenerationError(f"{len(texts)} prompts do not open one session; give one of them")
    text = texts[0] if texts else None
    if checkpoint is None and adapter is not None:
        checkpoint, adapter = adapter, None  # which knows its base
    if checkpoint is None:
        checkpoint = newest_run(RUNS)
        _note(f"model: {checkpoint}")

    if best:
        checkpoint = best_checkpoint(checkpoint)

    from llm_explainer.checkpoint import load_checkpoint
    from llm_explainer.checkpoint.adapters import load_adapter

    model, tokenizer = load_checkpoint(checkpoint, backend)
    if adapter is not None:
        model = load_adapter(adapter, model)
    if chat and not interactive and text is not None:
        _make_chat(model, tokenizer, sampling, system).take_turn(text)
    elif chat:
        _open(_make_chat(model, tokenizer, sampling, system), text)
    elif interactive or text is None:
        _open(_make_session(model, tokenizer, sampling), text)
    elif samples * len(texts) == 1:
        _write_one(model, tokenizer, text, sampling, echo=echo)
    else:
        prompts = [each for each in texts for _ in range(samples)]
        _write_many(model, tokenizer, prompts, sampling, echo=echo)


def _make_session(model: Any, tokenizer: Any, sampling: SamplingConfig) -> Session:
    from llm_explainer.generation.session import Session

    return Session(model, tokenizer, sampling, _write, _note)


def _make_chat(model: Any, tokenizer: Any, sampling: SamplingConfig, system: str | None) -> Session:
    from llm_explainer.generation.chat import Chat

    return Chat(model, tokenizer, sampling, _write, _note, system)


def _open(session: Session, text: str | None) -> None:
    first = [] if text is None else [text]
    session.run(chain(first, typed_lines()))


def _write_one(
    model: Any, tokenizer: Any, text: str, sampling: SamplingConfig, *, echo: bool
) -> None:
    from llm_explainer.generation.session import summary
    from llm_explainer.generation.streaming import Generation

    stream = Generation(model, tokenizer, text, sampling)
    for notice in stream.notices:  # about the prompt, before anything is shown
        _note(notice)
    if echo:
        _show_prompt(text)
    start = time.perf_counter()
    for piece in stream:
        _write(piece)
    seconds = time.perf_counter() - start
    _write("\n")
    _note(summary(len(stream.ids), seconds, stream.ended_by))


def _write_many(
    model: Any, tokenizer: Any, prompts: list[str], sampling: SamplingConfig, *, echo: bool
) -> None:
    from llm_explainer.generation.streaming import generate_batch

    start = time.perf_counter()
    texts = generate_batch(model, tokenizer, prompts, **dataclasses.asdict(sampling))
    seconds = time.perf_counter() - start
    for place, (text, written) in enumerate(zip(prompts, texts, strict=True)):
        if place:
            _write("---\n")
        if echo:
            _show_prompt(text)
        _write(f"{written}\n")
    _note(f"{len(texts)} texts in {seconds:.2f} s")


def _read_file(path: Path) -> str:
    """Return the text of a file; a mark of the byte order is no text."""
    try:
        return path.read_bytes().decode().removeprefix("\ufeff")
    except OSError as error:
        raise GenerationError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise GenerationError(
            f"{path} is no UTF-8 at byte {error.start}; convert it first"
        ) from None


def _read_pipe() -> str:
    """Return what a pipe brings, without the line break that ``echo`` adds."""
    data = sys.stdin.buffer.read()
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise GenerationError(
            f"the text from the pipe is no UTF-8 (byte 0x{data[error.start]:02x} at "
            f"{error.start}); convert it first"
        ) from None
    return text.removesuffix("\n").removesuffix("\r")


def _show_prompt(text: str) -> None:
    bold = sys.stdout.isatty() and wants_style(os.environ)
    _write(typer.style(text, bold=True) if bold else text)


def _write(piece: str) -> None:
    sys.stdout.write(piece)
    sys.stdout.flush()  # a stream is to be seen as it comes


def _note(line: str) -> None:
    say(line, dim=True)
