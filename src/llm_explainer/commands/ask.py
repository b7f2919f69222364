"""The command that tells a story and lets a model answer questions about it."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from llm_explainer.errors import ConfigError
from llm_explainer.training.runs.names import RUNS, newest_run

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.data.stories.questions import StoryQuestion


def ask(
    run: Annotated[
        Path | None,
        typer.Argument(help="a fine-tuned run, or any checkpoint; by default the newest run"),
    ] = None,
    questions: Annotated[int, Option(help="questions to ask")] = 6,
    seed: Annotated[int, Option(help="another seed, another story")] = 0,
    interactive: Annotated[
        bool, Option("--interactive", "-i", help="ask questions of your own")
    ] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
) -> None:
    """Tell a story that no model has read, and let a model answer questions about it.

    The stories come from a little world with facts, so every answer is right or wrong, and the
    world says which.

    Examples:

      uv run run_demo.py ask

      uv run run_demo.py ask runs/full/lora --seed 7

      uv run run_demo.py ask runs/full/finetuned --interactive
    """
    from llm_explainer.checkpoint import load_checkpoint
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.stories.questions import questions_about_one

    if questions < 1:
        raise ConfigError(f"--questions is {questions}; it takes 1 or more")
    console = make_console()
    path = run or newest_run(RUNS)
    if run is None:
        show(console, f"model: {path}")
    model, tokenizer = load_checkpoint(path, backend)
    about = list(islice(questions_about_one(seed), questions))
    show(console, about[0].story)
    show(console, "")
    _answer(about, model, tokenizer, console)
