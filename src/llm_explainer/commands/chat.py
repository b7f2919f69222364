"""The command that talks to a model in turns, in the words of its chat template."""

from __future__ import annotations

import sys
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
    read_pipe,
    write,
)
from llm_explainer.generation import SamplingConfig

SAMPLING = Options(
    "How the next token is chosen", SamplingConfig, omit=("stop", "windowed", "heal")
)


@with_options(SAMPLING)
def chat(
    model: Annotated[
        Path | None,
        typer.Argument(help="a run, a checkpoint, a Hugging Face directory or a GGUF file"),
    ] = None,
    prompt: Annotated[
        str | None, Option("--prompt", "-p", help="ask this, show the answer, and end")
    ] = None,
    system: Annotated[
        str | None, Option(help="what the model is told before the first turn")
    ] = None,
    stop: Annotated[
        list[str] | None, Option(help=r"end an answer before this text; repeatable")
    ] = None,
    adapter: Annotated[
        Path | None, Option(help="adapters to put on the model: a LoRA run, or PEFT's folder")
    ] = None,
    best: Annotated[
        bool, Option("--best", help="of a run the checkpoint that did best, not the newest")
    ] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
    **settings: Any,
) -> None:
    """Talk to a model that has learned conversations.

    Your turns are written in the words of the model's chat template, and an answer ends where the
    template says. The conversation so far goes before each turn; /save FILE.jsonl adds it to a file
    of records that train_finetune_lora.py can learn from. A question from --prompt or a pipe is
    answered once. The model's text goes to stdout, all else to stderr.

    Examples:

      uv run run_demo.py chat runs/chat

      uv run run_demo.py chat smollm2.gguf --system "You answer in one line."

      echo "What is the capital of France?" | uv run run_demo.py chat smollm2.gguf --temperature 0
    """
    from llm_explainer.generation.chat import Chat
    from llm_explainer.generation.session import unescape

    sampling = SamplingConfig(**settings, stop=[unescape(text) for text in stop or []])
    if prompt is None and not sys.stdin.isatty():
        prompt = read_pipe()
    loaded, tokenizer = load_named(
        model, adapter, best=best, backend=backend, dtype=dtype, quantize=quantize
    )
    session = Chat(loaded, tokenizer, sampling, write, note, system)
    if prompt is None:
        open_session(session, None)
    else:
        session.take_turn(prompt)
