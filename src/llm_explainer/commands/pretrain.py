"""The command that pre-trains a model on a corpus: settings in, a run folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from llm_explainer.checkpoint import load_config
from llm_explainer.commands.distributed import join, leading
from llm_explainer.commands.options import Options, given, refuse, with_options
from llm_explainer.commands.training import finish
from llm_explainer.config import NO_OPTIONS, ModelConfig
from llm_explainer.console.progress import StageProgress
from llm_explainer.console.terminal import make_console, show
from llm_explainer.errors import ConfigError
from llm_explainer.run_folders import best_checkpoint
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.recipes import DEFAULTS, nearest_size, recipe
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.names import RUNS
from llm_explainer.training.runs.run import resume_run, start_run

NAME = "pretrain"
DATA = Options("Data", DataConfig)
MODEL = Options(
    "Model: changes to the size", ModelConfig, omit=("vocab_size", *NO_OPTIONS), optional=True
)
TRAINING = Options("Training", TrainConfig, elsewhere=DEFAULTS)


@with_options(DATA, MODEL, TRAINING)
def pretrain(
    context: typer.Context,
    size: Annotated[
        str,
        Option(help="named size; `run_demo.py presets` shows all. It decides the training, too"),
    ] = "small",
    family: Annotated[str, Option(help="gpt2 or llama")] = "gpt2",
    out: Annotated[
        Path | None,
        Option(help="the run folder; by default runs/pretrain, runs/pretrain-2, ..."),
    ] = None,
    overwrite: Annotated[bool, Option("--overwrite", help="replace the run in --out")] = False,
    resume: Annotated[
        Path | None,
        Option(
            help="continue this run exactly; beside it, --backend, --distributed, and --steps for "
            "more of them"
        ),
    ] = None,
    start_from: Annotated[
        str | None,
        Option(
            "--from",
            help="start a new run with this checkpoint's weights, by the recipe of the named size "
            "whose number of parameters is nearest",
        ),
    ] = None,
    best: Annotated[
        bool, Option("--best", help="of a run in --from its best checkpoint, not the newest")
    ] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    distributed: Annotated[
        bool,
        Option("--distributed", help="share every batch with the processes of mlx.launch (MLX)"),
    ] = False,
    **settings: Any,
) -> None:
    """Pre-train a language model: learn a tokenizer, then to predict each next token.

    The run folder gets checkpoints that Hugging Face transformers loads, a log of every step and a
    picture of the loss. Ctrl-C saves a checkpoint and says how to go on.

    Examples:

      uv run train_pretrain.py --corpus stories --size small --family llama

      uv run train_pretrain.py --corpus my_notes/ --steps 5000 --out runs/notes

      uv run train_pretrain.py --resume runs/notes

      uv run train_pretrain.py --from runs/notes --best --corpus poems.txt --out runs/poems

      uv run mlx.launch -n 2 --backend ring -- python train_pretrain.py --distributed
    """
    console = make_console()
    typed = given(context)
    if resume is not None:
        allowed = {"resume", "backend", "distributed", "steps"}
        refuse(typed - allowed, "--resume continues a run exactly as it was set up")
    if start_from is not None:
        fixed = {*MODEL.names, "size", "family", "init_scheme", "tokenizer", "vocab_size"}
        refuse(typed & fixed, "--from takes the model and its tokenizer from the checkpoint")
    if distributed and backend == "auto":
        backend = "mlx"
    # A fixed name where it has to be known: to replace a run, and to all processes of one.
    fixed_path = RUNS / NAME if overwrite or distributed else None
    path = resume or out or fixed_path
    folder = RunFolder(path or RUNS / NAME)
    processes = join(backend, context.params, folder) if distributed else None
    with leading(processes, folder):
        if resume is not None:
            chosen = backend if "backend" in typed or distributed else None
            steps = TRAINING.take(settings)["steps"] if "steps" in typed else None
            run = resume_run(folder, backend=chosen, steps=steps, processes=processes)
            show(console, f"resuming {resume} after step {run.trainer.step:,}")
        else:
            plan = settings_of({**context.params, "backend": backend})
            if path is None:
                folder = RunFolder.new(RUNS, NAME)
            with StageProgress(console) as progress:
                run = start_run(
                    plan, folder, overwrite=overwrite, report=progress.report, processes=processes
                )
        finish(run, console)


def settings_of(values: dict[str, Any]) -> PretrainSettings:
    """Return the settings of a new run that the command's options, by name, mean.

    Raises:
        LLMExplainerError: a setting that cannot work.
    """
    size, start_from = values["size"], values["start_from"]
    if values["best"]:
        if start_from is None:
            raise ConfigError("--best is about the run in --from; give one, or leave it out")
        start_from = str(best_checkpoint(Path(start_from)))
    trained_as = size if start_from is None else nearest_size(load_config(start_from))
    return PretrainSettings(
        data=DataConfig(**DATA.take(values)),
        train=recipe(trained_as, **TRAINING.take(values)),
        size=size,
        family=values["family"],
        model=MODEL.take(values),
        backend=values["backend"],
        start_from=start_from,
    )
