"""The command that lets a trained model write: once, many times, or in a session."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.options import Options, with_options
from llm_explainer.commands.talking import (
    Dtype,
    Quantize,
    load_named,
    note,
    open_session,
    read_file,
    read_pipe,
    write,
)
from llm_explainer.console.streams import wants_style
from llm_explainer.errors import GenerationError
from llm_explainer.generation import SamplingConfig

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
    best: Annotated[
        bool, Option("--best", help="of a run the checkpoint that did best, not the newest")
    ] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
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

    To talk to a model that learned conversations: `uv run run_demo.py chat`.
    """
    from llm_explainer.generation.session import unescape

    sampling = SamplingConfig(**settings, stop=[unescape(text) for text in stop or []])
    if not 1 <= samples <= MOST_SAMPLES:
        raise GenerationError(f"--samples is {samples}; it takes 1 to {MOST_SAMPLES}")
    if interactive and samples > 1:
        raise GenerationError(f"--samples {samples} does not go with --interactive; leave one out")
    texts = [*(prompt or []), *([read_file(prompt_file)] if prompt_file else [])]
    if not texts and not interactive and not sys.stdin.isatty():
        texts = [read_pipe()]
    if len(texts) > 1 and interactive:
        raise GenerationError(f"{len(texts)} prompts do not open one session; give one of them")
    text = texts[0] if texts else None
    model, tokenizer = load_named(
        checkpoint, adapter, best=best, backend=backend, dtype=dtype, quantize=quantize
    )
    if interactive or text is None:
        from llm_explainer.generation.session import Session

        open_session(Session(model, tokenizer, sampling, write, note), text)
    elif samples * len(texts) == 1:
        _write_one(model, tokenizer, text, sampling, echo=echo)
    else:
        prompts = [each for each in texts for _ in range(samples)]
        _write_many(model, tokenizer, prompts, sampling, echo=echo)


def _write_one(
    model: Any, tokenizer: Any, text: str, sampling: SamplingConfig, *, echo: bool
) -> None:
    from llm_explainer.generation.session import summary
    from llm_explainer.generation.streaming import Generation

    stream = Generation(model, tokenizer, text, sampling)
    for notice in stream.notices:  # about the prompt, before anything is shown
        note(notice)
    if echo:
        _show_prompt(text)
    start = time.perf_counter()
    for piece in stream:
        write(piece)
    seconds = time.perf_counter() - start
    write("\n")
    note(summary(len(stream.ids), seconds, stream.ended_by))


def _write_many(
    model: Any, tokenizer: Any, prompts: list[str], sampling: SamplingConfig, *, echo: bool
) -> None:
    from llm_explainer.generation.streaming import generate_batch

    start = time.perf_counter()
    texts = generate_batch(model, tokenizer, prompts, **dataclasses.asdict(sampling))
    seconds = time.perf_counter() - start
    for place, (text, written) in enumerate(zip(prompts, texts, strict=True)):
        if place:
            write("---\n")
        if echo:
            _show_prompt(text)
        write(f"{written}\n")
    note(f"{len(texts)} texts in {seconds:.2f} s")


def _show_prompt(text: str) -> None:
    bold = sys.stdout.isatty() and wants_style(os.environ)
    write(typer.style(text, bold=True) if bold else text)
