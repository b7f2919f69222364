"""The command that pre-trains on MLX, and shows what size, data and backend change."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from llm_explainer.commands.options import Options, with_options
from llm_explainer.config import SIZES, ModelConfig
from llm_explainer.errors import BackendUnavailable
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.runs.names import RUNS

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.data.corpora import Corpus
    from llm_explainer.training.pretrain import PretrainSettings

OUT = RUNS / "mac-accel"
STORY_BYTES = 1_200_000  # of the endless stories; about what Shakespeare has
EVERYTHING = 10**30  # bytes: more than any corpus has
KEPT = ("dtype", "recompute", "micro_batch", "memory_limit_gb", "seed")
TRAINING = Options(
    "Training",
    TrainConfig,
    omit=tuple(f.name for f in dataclasses.fields(TrainConfig) if f.name not in KEPT),
)


@with_options(TRAINING)
def mac_accel(
    model_size: Annotated[
        str, Option("--size", "--model-size", help=f"of the model: {', '.join(SIZES)}")
    ] = "small",
    data_size: Annotated[
        str,
        Option(help="text to train on: a fraction (0.1; 1 is all), or bytes (50000, 100k, 1m)"),
    ] = "0.1",
    family: Annotated[str, Option(help="gpt2 or llama")] = "llama",
    steps: Annotated[int | None, Option(help="updates; each size has a number of its own")] = None,
    corpus: Annotated[
        str,
        Option(help="auto (Shakespeare, or stories when offline), a name, or the path of a text"),
    ] = "auto",
    out: Annotated[Path, Option(help="folder of the runs, each in a folder of its own")] = OUT,
    overwrite: Annotated[
        bool, Option("--overwrite", help="replace the run of the same settings")
    ] = False,
    backend: Annotated[str, Option(help="auto (MLX wherever it is installed), mlx or numpy")] = (
        "auto"
    ),
    **settings: Any,
) -> None:
    """Pre-train on the GPU of a Mac with MLX, and see what that is worth.

    Trains a model of the size you choose on as much text as you choose; then the same model trains
    in NumPy for a few seconds, and a table and a picture show this run beside NumPy's speed and
    beside your earlier runs: what more data and larger models change. Their losses are in bits a
    byte of the same validation text, so they compare across sizes. Without a Metal GPU it runs on
    what MLX has there (CUDA, or slowly a CPU), without MLX in NumPy.

    A setting that was run before gets a folder with a number, or replaces it with --overwrite.

    Examples:

      uv run run_demo.py mac-accel

      uv run run_demo.py mac-accel --size small --data-size 1m

      uv run run_demo.py mac-accel --size medium --data-size 0.5 --dtype bfloat16

      uv run run_demo.py mac-accel --corpus my_book.txt --data-size 200k --backend numpy
    """
    from rich.text import Text

    from llm_explainer.backend import load_backend
    from llm_explainer.commands.mac_accel_report import report
    from llm_explainer.commands.training import train_and_report
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.data_size import parse_data_size
    from llm_explainer.training.pretrain import DataConfig, PretrainSettings
    from llm_explainer.training.recipes import recipe
    from llm_explainer.training.runs.folder import RunFolder
    from llm_explainer.training.runs.run import start_run

    console = make_console()
    chosen, notice = choose_backend(backend)
    # What cannot work is found before a download.
    ModelConfig.preset(model_size, family=family)
    typed = TRAINING.take(settings) | ({} if steps is None else {"steps": steps})
    train = recipe(model_size, **typed)
    nn = load_backend(chosen)
    nn.check_dtype(train.dtype)
    parse_data_size(data_size, EVERYTHING)
    show(console, Text("1.", "bold"), f" {notice}")
    found, n_bytes = choose_text(corpus, data_size, console)
    plan = PretrainSettings(
        data=DataConfig(corpus=found.name, max_bytes=story_bytes(found), train_bytes=n_bytes),
        train=train,
        size=model_size,
        family=family,
        backend=chosen,
    )
    name = run_name(plan)
    folder = RunFolder(out / name) if overwrite else RunFolder.new(out, name)
    show(console, Text("2.", "bold"), f" {found.description}; {n_bytes:,} bytes to train on.")
    with StageProgress(console) as progress:
        run = start_run(plan, folder, overwrite=overwrite, report=progress.report)
    show(console, Text("3.", "bold"), f" {train.steps:,} steps. {run.preflight.summary()}.")
    train_and_report(run, console)
    report(run, nn, console, is_default=out == OUT)


def choose_backend(name: str) -> tuple[str, str]:
    """Return "mlx" or "numpy", and a line that says what it runs on.

    Raises:
        BackendUnavailable: no such backend, or it was asked for and cannot run here.
    """
    from llm_explainer.backend import load_backend

    if name == "numpy":
        return "numpy", "NumPy, as asked for."
    try:
        nn = load_backend("mlx" if name == "auto" else name)
    except BackendUnavailable as error:
        if name != "auto":
            raise
        return "numpy", f"NumPy takes the place of MLX: {error}."
    kind, device = nn.device_kind(), nn.device_name()
    return "mlx", {
        "metal": f"MLX on the GPU of this machine, {device} (Metal).",
        "cuda": f"No Metal GPU here: MLX runs on {device} (CUDA).",
        "cpu": f"No GPU here: MLX runs on the CPU ({device}), where its Linux build is slow; "
        "--backend numpy is faster.",
    }[kind]


def choose_text(name: str, data_size: str, console: Console) -> tuple[Corpus, int]:
    """Return the corpus, and how many bytes of its training text to take.

    Raises:
        CorpusError: no such corpus, or a size that is none.
    """
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.data.corpora import load_corpus
    from llm_explainer.data.data_size import parse_data_size

    with StageProgress(console) as progress:
        corpus = load_corpus(
            name, progress=lambda done, total: progress.report("downloading", done, total)
        )
    if corpus.name == "stories":
        description = corpus.description.partition("; ")[2]
        corpus = load_corpus("stories", max_bytes=STORY_BYTES)
        if description:  # why not Shakespeare
            corpus = dataclasses.replace(corpus, description=f"{corpus.description}; {description}")
    return corpus, parse_data_size(data_size, corpus.train.size_bytes)


def story_bytes(corpus: Corpus) -> int | None:
    """Return how much of the corpus there is to be: the stories are endless."""
    return STORY_BYTES if corpus.name == "stories" else None


def run_name(plan: PretrainSettings) -> str:
    """Return what a run's folder is called, after its settings."""
    from llm_explainer.data.data_size import write_data_size

    assert plan.data.train_bytes is not None
    corpus = re.sub(r"[^A-Za-z0-9_]+", "-", Path(plan.data.corpus).stem).strip("-") or "text"
    parts = [corpus, plan.size, write_data_size(plan.data.train_bytes), plan.family]
    if plan.train.dtype != "float32":
        parts.append(plan.train.dtype)
    return "-".join(parts)
