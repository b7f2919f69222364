"""The whole way of a language model in a quarter of an hour: pre-training, fine-tuning, LoRA."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from llm_explainer.commands.full_stages import (
    ALPHA,
    BASE,
    FINETUNE_STEPS,
    LORA,
    PRETRAIN_STEPS,
    RANK,
    TUNED,
    Plan,
    begin,
    pretrain_settings,
    read_plan,
    tuning_settings,
)
from llm_explainer.commands.options import given, refuse
from llm_explainer.program import typed

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.training.runs.kinds import RunSettings


def full(
    context: typer.Context,
    out: Annotated[
        Path | None, Option(help="the folder; by default runs/full, runs/full-2, ...")
    ] = None,
    resume: Annotated[Path | None, Option(help="go on in this folder where it was stopped")] = None,
    steps: Annotated[int, Option(help="updates of pre-training")] = PRETRAIN_STEPS,
    finetune_steps: Annotated[int, Option(help="updates of each fine-tuning")] = FINETUNE_STEPS,
    questions: Annotated[int, Option(help="questions in the examination at the end")] = 500,
    seed: Annotated[int, Option(help="another seed, other models")] = 0,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
) -> None:
    """Go the whole way in a quarter of an hour: tokenizer, pre-training, fine-tuning, LoRA.

    A model learns to tell stories. Then it learns to answer questions about them, twice: once all
    of its parameters learn, once only small adapters beside them (LoRA). At the end all three
    answer questions about stories that none has read, and a table and a picture show what each of
    them can do, what it has forgotten, and what it cost.

    Examples:

      uv run run_demo.py full

      uv run run_demo.py full --resume runs/full
    """
    from rich.text import Text

    from llm_explainer.commands.full_report import report
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.lora_config import LoRAConfig

    if resume is None:
        plan = Plan(steps, finetune_steps, questions, seed, backend)
        folder = begin(out, plan)
    else:
        refuse(given(context) - {"resume"}, "--resume goes on as it was begun")
        folder, plan = resume, read_plan(resume)
    console = make_console()
    base, lora = folder / BASE, LoRAConfig(RANK, ALPHA)
    stages: tuple[tuple[str, str, Callable[[], RunSettings]], ...] = (
        (
            BASE,
            "A model learns to tell stories: a tokenizer, then pre-training.",
            lambda: pretrain_settings(plan),
        ),
        (
            TUNED,
            "It learns to answer questions about them: all parameters learn.",
            lambda: tuning_settings(base, plan),
        ),
        (
            LORA,
            "The same with LoRA: only small adapters beside the parameters learn.",
            lambda: tuning_settings(base, plan, lora),
        ),
    )
    for number, (name, what, settings) in enumerate(stages, 1):
        show(console, Text(f"{number}.", "bold"), f" {what}")
        train_stage(folder / name, settings, folder, console)
    show(console, Text("4.", "bold"), " All three are examined.")
    report(folder, plan.questions, console, plan.backend)


def train_stage(
    path: Path, settings: Callable[[], RunSettings], whole: Path, console: Console
) -> None:
    """Train one run of the folder ``whole``, from where it was stopped, unless it is done."""
    from llm_explainer.commands.training import train_and_report
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.terminal import show
    from llm_explainer.training.runs.folder import RunFolder
    from llm_explainer.training.runs.outcome import is_finished
    from llm_explainer.training.runs.run import resume_run, start_run

    folder = RunFolder(path)
    if is_finished(folder):
        show(console, f"done before: {path}")
        return
    if folder.steps():
        run = resume_run(folder)
        show(console, f"resuming {path} after step {run.trainer.step:,}")
    else:
        with StageProgress(console) as progress:
            run = start_run(settings(), folder, report=progress.report)
    run.nn.reset_peak_memory()
    show(console, run.preflight.summary())
    train_and_report(run, console, typed("full", "--resume", whole))
