"""The command that shows what a model did with a text, and why."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

MOST_ROWS = 32


def trace(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(help="a run, a checkpoint, or a GPT-2 or Llama directory from elsewhere"),
    ] = None,
    prompt: Annotated[str | None, Option("--prompt", "-p", help="the text to look into")] = None,
    prompt_file: Annotated[Path | None, Option(help="a UTF-8 file with that text")] = None,
    adapter: Annotated[
        Path | None, Option(help="adapters to put on the checkpoint: a LoRA run, or PEFT's folder")
    ] = None,
    best: Annotated[
        bool, Option("--best", help="of a run the checkpoint that did best, not the newest")
    ] = False,
    why: Annotated[
        str | None, Option(help='explain the score of this next token, such as " fox"')
    ] = None,
    against: Annotated[
        str | None, Option(help="explain why --why scores higher than this token")
    ] = None,
    at: Annotated[
        int, Option(help="the place of the token after which to look; -1: the last one")
    ] = -1,
    lens: Annotated[
        bool, Option("--lens", help="what each layer would say if it were the last")
    ] = False,
    ablate: Annotated[
        bool, Option("--ablate", help="what changes without each head and layer")
    ] = False,
    step: Annotated[
        bool, Option("--step", help="what one step of training on this text would change")
    ] = False,
    history: Annotated[
        bool, Option("--history", help="the same text at every state that the run has kept")
    ] = False,
    rows: Annotated[int, Option(help="rows of a table to show", min=1)] = MOST_ROWS,
    out: Annotated[
        Path | None, Option(help="write all results and gradients there, as a NumPy .npz")
    ] = None,
) -> None:
    """Look into a model while it reads a text: every token's probability and loss, and why.

    The text comes from --prompt, from a file or from a pipe, the checkpoint is by default the
    newest run's. --why splits the score of a token into what each head and layer gave to it.

    Examples:

      uv run run_demo.py trace runs/quick --prompt "Once there was a shy fox"

      uv run run_demo.py trace runs/quick --prompt "Once there was a shy" --why " fox" --ablate

      uv run run_demo.py trace runs/quick --prompt "Once there was" --lens --step --out trace.npz
    """
    from llm_explainer.commands.talking import load_named, read_file, read_pipe
    from llm_explainer.console.attribution_view import show_ablation, show_attribution
    from llm_explainer.console.terminal import make_console, show, working
    from llm_explainer.console.trace_view import show_history, show_lens, show_step, show_tokens
    from llm_explainer.errors import GenerationError
    from llm_explainer.tracing import (
        Target,
        attribute,
        check_trace_file,
        moments,
        one_token,
        place_of,
        save_trace,
        take_step,
    )
    from llm_explainer.tracing import ablate as ablated
    from llm_explainer.tracing import lens as read_lens
    from llm_explainer.tracing import trace as run_trace
    from llm_explainer.training.runs.names import RUNS, newest_run

    if prompt is not None and prompt_file is not None:
        raise GenerationError(f"--prompt and --prompt-file {prompt_file} are given; leave one out")
    if prompt is None and prompt_file is None and sys.stdin.isatty():
        raise GenerationError("no text to trace; give one with --prompt, --prompt-file or a pipe")
    if prompt is None:
        prompt = read_file(prompt_file) if prompt_file else read_pipe()
    if out is not None:
        check_trace_file(out)
    model, tokenizer = load_named(checkpoint, adapter, best=best, backend="numpy")
    token = None if why is None else one_token(tokenizer, why)
    other = None if against is None else one_token(tokenizer, against)
    target = None if token is None else Target.logit(at, token)
    console = make_console()
    with working(console, "tracing"):
        traced = run_trace(model, tokenizer, prompt, target=target)
    at = place_of(at, traced.n_tokens)
    show_tokens(console, tokenizer, traced, at, rows)
    if token is not None:
        found = attribute(traced, at, token, against=other)
        show_attribution(console, tokenizer, traced, found, rows)
    if lens:
        show_lens(console, tokenizer, traced, read_lens(traced, targets=token), at)
    if ablate:
        with working(console, "leaving out one head after the other"):
            without = ablated(traced)
        show_ablation(console, tokenizer, traced, without)
    if step:
        show_step(console, tokenizer, traced, take_step(traced, top=rows), rows)
    if history:
        with working(console, "going through the run's checkpoints"):
            kept = moments(checkpoint or newest_run(RUNS), prompt, targets=token)
        show_history(console, tokenizer, traced, kept, at)
    if out is not None:
        save_trace(traced, out)
        show(console, f"all results and gradients: {out}")
