"""The command that writes a page on which a model can be looked into, and opens it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

PAGE = Path("explorer.html")


def explore(
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
        str | None,
        Option(help='gradients of the score of this next token, such as " fox", not of the loss'),
    ] = None,
    at: Annotated[
        int, Option(help="the place of the token after which --why comes; -1: the last one")
    ] = -1,
    beside: Annotated[
        Path | None,
        Option(help="another model to show side by side: a run, a checkpoint, adapters"),
    ] = None,
    history: Annotated[
        bool, Option(help="show what earlier states that the run has kept made of the text")
    ] = True,
    out: Annotated[Path, Option(help="the file to write; one of ours is replaced")] = PAGE,
    open_it: Annotated[
        bool, Option("--open/--no-open", help="show the page in the browser")
    ] = True,
) -> None:
    """Write one page that shows all that a model does with a text, and open it.

    Tokens, every number of the pass with its formula, attention, what each layer would say, why a
    token scored as it did. The page is one file that loads nothing: it works without a network.

    Examples:

      uv run run_demo.py explore runs/quick --prompt "Once there was a shy fox"

      uv run run_demo.py explore runs/quick --prompt "Once there was a shy" --why " fox" --no-open

      uv run run_demo.py explore runs/full/pretrained --beside runs/full/finetuned -p "Once"
    """
    from llm_explainer.commands.talking import load_named, read_file, read_pipe
    from llm_explainer.console.terminal import make_console, show, working
    from llm_explainer.errors import GenerationError
    from llm_explainer.explorer import explore as make_page
    from llm_explainer.explorer.html import check_page
    from llm_explainer.run_folders import history_of
    from llm_explainer.tracing import Target, one_token
    from llm_explainer.training.runs.names import RUNS, newest_run

    if prompt is not None and prompt_file is not None:
        raise GenerationError(f"--prompt and --prompt-file {prompt_file} are given; leave one out")
    if prompt is None and prompt_file is None and sys.stdin.isatty():
        raise GenerationError("no text to explore; give one with --prompt, --prompt-file or a pipe")
    if prompt is None:
        prompt = read_file(prompt_file) if prompt_file else read_pipe()
    check_page(out)
    model, tokenizer = load_named(checkpoint, adapter, best=best, backend="numpy")
    target = None if why is None else Target.logit(at, one_token(tokenizer, why))
    named = checkpoint or adapter
    name = "the newest run" if named is None else named.resolve().name
    run = checkpoint or adapter or newest_run(RUNS)
    console = make_console()
    with working(console, "computing every number"):
        page = make_page(
            model,
            tokenizer,
            prompt,
            target=target,
            name=name,
            run=run if history and len(history_of(run)) > 1 else None,
            beside=None
            if beside is None
            else load_named(beside, None, best=False, backend="numpy"),
            beside_name="" if beside is None else beside.resolve().name,
        )
    page.save(out)
    show(console, f"page: {out} ({len(page.html) / 1e6:.1f} MB); it needs no network")
    if open_it:
        import webbrowser

        webbrowser.open(out.resolve().as_uri())
