"""The command that shows where the time of a training step goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from llm_explainer.config import ModelConfig
from llm_explainer.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from llm_explainer.profiling import Profile

MAX_WORKERS = 1024  # more is a slip, and each would own a copy of the gradients


def profile(
    size: Annotated[str, Option(help="a model size; see the command presets")] = "small",
    family: Annotated[str, Option(help="gpt2 or llama")] = "gpt2",
    batch_size: Annotated[int, Option(help="windows in a step")] = 16,
    workers: Annotated[int, Option(help="that share a batch, a core for each; 0: all cores")] = 0,
    seconds: Annotated[float, Option(help="how long to measure")] = 6.0,
    out: Annotated[Path, Option(help="folder for the picture and the figures")] = Path(
        "runs/profile"
    ),
) -> None:
    """Show where a NumPy training step spends its time: by layer, and by kind of work.

    Matrix products run close to the processor's limit. All else (bending and normalising numbers
    one by one, moving them, Python itself) is what a fast implementation keeps small.

    Examples:

      uv run run_demo.py profile

      uv run run_demo.py profile --size medium --family llama --batch-size 8
    """
    config = ModelConfig.preset(size, family=family)
    for name, value, low in (("batch-size", batch_size, 1), ("workers", workers, 0)):
        if value < low:
            raise ConfigError(f"--{name} is {value}; it takes {low} or more")
    if workers > min(batch_size, MAX_WORKERS):
        raise ConfigError(
            f"--workers is {workers}, but a batch of {batch_size} windows keeps only "
            f"{min(batch_size, MAX_WORKERS)} busy; it takes that or fewer"
        )
    if not 0 < seconds <= 3600:
        raise ConfigError(f"--seconds is {seconds:g}; it takes more than 0 and at most 3600")

    from rich.console import Console

    from llm_explainer.backend import load_backend
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.files import write_atomically
    from llm_explainer.profiling import draw_profile, profile_step

    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot make folder {out}: {error.strerror}; name one with --out that is writable"
        ) from None
    console = Console()
    cores = load_backend("numpy").available_cores()
    with StageProgress(Console(stderr=True)) as bar:
        result = profile_step(
            config,
            batch_size,
            workers or min(cores, batch_size),
            seconds,
            on_progress=lambda done, total: bar.report("measuring", round(done), round(total)),
        )
    title = (
        f"{size}, {family} family: {batch_size} windows of {config.context_length} tokens, "
        f"{result.workers} cores"
    )
    console.print(make_table(result, title), *summary(result), sep="\n", highlight=False)
    draw_profile(result, out / "profile.png", title)
    write_atomically(out / "profile.json", json.dumps(result.to_dict(), indent=2).encode())
    console.print(f"picture     {out / 'profile.png'}\nfigures     {out / 'profile.json'}")


def make_table(profile: Profile, title: str) -> Table:
    """Return milliseconds by layer and kind, and their sums."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from llm_explainer.profiling import KINDS, PYTHON

    kinds = (*KINDS, PYTHON)
    table = Table(
        title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 0, 0, 1)
    )
    table.add_column("milliseconds of work", no_wrap=True)
    for heading in (
        *(kind.removeprefix("matrix ").removesuffix(" data") for kind in kinds),
        "all",
        "share",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    total = profile.work_seconds
    for layer, row in profile.work.items():
        figures = [f"{1e3 * row[kind]:.2f}" for kind in kinds]
        seconds = sum(row.values())
        table.add_row(layer, *figures, f"{1e3 * seconds:.2f}", f"{seconds / total:.1%}")
    table.add_section()
    sums = profile.by_kind()
    table.add_row("all", *(f"{1e3 * sums[kind]:.2f}" for kind in kinds), f"{1e3 * total:.2f}")
    table.add_row("share", *(f"{sums[kind] / total:.1%}" for kind in kinds))
    return table


def summary(profile: Profile) -> list[str]:
    """Return what the table comes to, and how fast the work went beside what the machine can."""
    from llm_explainer.profiling import ELEMENTWISE, PRODUCTS

    peak, workers = profile.peak, profile.workers
    products, elementwise = profile.tally(PRODUCTS), profile.tally(ELEMENTWISE)
    product_rate = products.flops / products.seconds
    byte_rate = elementwise.bytes / elementwise.seconds
    lines = [
        f"Matrix products: {product_rate / 1e9:.1f} GFLOP/s on one core; large ones reach "
        f"{peak.flops / workers / 1e9:.1f}.",
        f"Elementwise: {byte_rate / 1e9:.1f} GB/s on one core; memory gives "
        f"{peak.bandwidth / workers / 1e9:.1f}, the cache more.",
        f"A step takes {1e3 * profile.step_seconds:.2f} ms: {profile.tokens_per_s:,.0f} tokens/s, "
        f"{profile.mfu:.0%} of sgemm's peak (MFU).",
    ]
    if workers > 1:
        gain = profile.work_seconds / profile.step_seconds
        lines.append(f"{workers} cores are {gain:.2f} times as fast as one that does all the work.")
    return lines
