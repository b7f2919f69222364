"""The command that pre-trains a model on a corpus: settings in, a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer import Option

from llm_explainer.commands.options import Options, given, refuse, with_options
from llm_explainer.commands.training import INTERRUPTED, report_result, train_with_view
from llm_explainer.config import ModelConfig
from llm_explainer.console.progress import StageProgress
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.pretrain import (
    DataConfig,
    PretrainSettings,
    Run,
    resume_run,
    start_run,
)
from llm_explainer.training.run_folder import RunFolder

DATA = Options("Data", DataConfig)
MODEL = Options("Model: changes to the size", ModelConfig, omit=("vocab_size",), optional=True)
TRAINING = Options("Training", TrainConfig)


@with_options(DATA, MODEL, TRAINING)
def pretrain(
    context: typer.Context,
    size: Annotated[str, Option(help="named size; `run_demo.py presets` shows all")] = "small",
    family: Annotated[str, Option(help="gpt2 or llama")] = "gpt2",
    out: Annotated[Path, Option(help="the run folder")] = Path("runs/pretrain"),
    overwrite: Annotated[bool, Option("--overwrite", help="replace the run in --out")] = False,
    resume: Annotated[
        Path | None, Option(help="continue this run exactly; takes no options but --backend")
    ] = None,
    start_from: Annotated[
        str | None, Option("--from", help="start a new run with this checkpoint's weights")
    ] = None,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    **settings: Any,
) -> None:
    """Pre-train a language model: learn a tokenizer, then to predict each next token.

    The run folder gets checkpoints that Hugging Face transformers loads, a log of every step and a
    picture of the loss. Ctrl-C saves a checkpoint and says how to go on.

    Examples:

      uv run train_pretrain.py --corpus stories --size small --family llama

      uv run train_pretrain.py --corpus my_notes/ --steps 5000 --out runs/notes

      uv run train_pretrain.py --resume runs/notes

      uv run train_pretrain.py --from runs/notes --corpus poems.txt --out runs/poems
    """
    console = Console()
    typed = given(context)
    if resume is not None:
        refuse(typed - {"resume", "backend"}, "--resume continues a run exactly as it was set up")
        run = resume_run(RunFolder(resume), backend=backend if "backend" in typed else None)
        console.print(f"resuming {resume} after step {run.trainer.step:,}")
    else:
        if start_from is not None:
            fixed = {*MODEL.names, "size", "family", "init_scheme", "tokenizer", "vocab_size"}
            refuse(typed & fixed, "--from takes the model and its tokenizer from the checkpoint")
        with StageProgress(console) as progress:
            run = start_run(
                PretrainSettings(
                    data=DataConfig(**DATA.take(settings)),
                    train=TrainConfig(**TRAINING.take(settings)),
                    size=size,
                    family=family,
                    model=MODEL.take(settings),
                    backend=backend,
                    start_from=start_from,
                ),
                RunFolder(out),
                overwrite=overwrite,
                report=progress.report,
            )
    finish(run, console)


def finish(run: Run, console: Console) -> None:
    """Train, say how it went, and what to do next."""
    result = train_with_view(run, console)
    report_result(result, run, console)
    if not result.finished:
        console.print(
            f"continue with  [bold]uv run train_pretrain.py --resume {run.folder.path}[/]"
        )
        raise typer.Exit(INTERRUPTED)
    console.print(f"talk to it     [bold]uv run run_demo.py generate {run.folder.path}[/]")
