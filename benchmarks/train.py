"""Training speed beside PyTorch: `uv run --with torch python -m benchmarks.train`.

A step is forward pass, backward pass, clipping and AdamW in float32, on random tokens. Products of
large matrices take part too, so that MFU, the share of the machine's peak that goes into the
model's own operations, is measured in the same run. Without PyTorch installed, our own figures are
shown alone.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import sgemm
from benchmarks.interleaved import Contestant, in_checkout, race
from benchmarks.shapes import BATCH_SIZES, FAMILIES, shape
from llm_explainer.machine import available_cores

OURS, PEAK, EAGER, COMPILED = "llm-explainer", "sgemm", "PyTorch eager", "torch.compile"
OTHER = "other NumPy"
ONE_THREAD = {"MKL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""Training holds BLAS to one thread itself, where it can tell which BLAS it is: not one that NumPy
was linked to piece by piece."""


def main() -> None:
    """Race at every size asked for, and show a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(BATCH_SIZES), default=["small"])
    parser.add_argument("--family", choices=FAMILIES, default="gpt2")
    parser.add_argument("--compile", action="store_true", help="torch.compile takes part too")
    parser.add_argument(
        "--other-numpy",
        metavar="PYTHON",
        help="ours takes part a second time, in a Python whose NumPy is built on another BLAS",
    )
    parser.add_argument(
        "--other-checkout",
        type=Path,
        metavar="FOLDER",
        help="ours takes part a second time, as another checkout has it",
    )
    parser.add_argument(
        "--lora",
        nargs="*",
        default=[],
        metavar="TARGETS",
        help="ours takes part with adapters of rank 8 too, such as q_proj,v_proj or all-linear",
    )
    parser.add_argument("--seconds", type=float, default=30.0, help="for each size")
    parser.add_argument(
        "--contended", action="store_true", help="count slices that others disturbed, too"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    console = Console()
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        with console.status(f"{size}, {options.family}: {options.seconds:g} seconds"):
            rows += measure(size, options)
    console.print(as_table(rows))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(size: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the figures of every contestant at one size."""
    family = options.family
    contestants = [Contestant(OURS, "benchmarks.train_numpy", [size, family])]
    if options.other_numpy:
        contestants.append(
            Contestant(
                OTHER, "benchmarks.train_numpy", [size, family], options.other_numpy, ONE_THREAD
            )
        )
    if options.other_checkout:
        contestants.append(in_checkout(contestants[0], options.other_checkout))
    contestants += [
        Contestant(f"LoRA, {targets}", "benchmarks.train_numpy", [size, family, targets])
        for targets in options.lora
    ]
    if importlib.util.find_spec("torch"):
        modes = {EAGER: "eager", COMPILED: "compile"} if options.compile else {EAGER: "eager"}
        contestants += [
            Contestant(name, "benchmarks.train_torch", [size, family, mode])
            for name, mode in modes.items()
        ]
    peak = Contestant(PEAK, "benchmarks.sgemm", [])
    race([*contestants, peak], options.seconds, options.contended)
    config = shape(size, family)
    n_tokens = BATCH_SIZES[size] * config.context_length
    flops = n_tokens * config.training_flops_per_token()
    peak_flops = available_cores() * sgemm.FLOPS / peak.median()
    return [
        {
            "size": size,
            "family": family,
            "contestant": contestant.name,
            "seconds": contestant.median(),
            "tokens_per_s": n_tokens / contestant.median(),
            "mfu": flops / contestant.median() / peak_flops,
            "peak_flops_per_s": peak_flops,
            "ours_is_faster_by": contestant.median() / contestants[0].median(),
            "steps": len(contestant.seconds),
            "dropped_slices": contestant.dropped_slices,
        }
        for contestant in contestants
    ]


def as_table(rows: list[dict[str, Any]]) -> Table:
    """Show figures, a line for each size and contestant."""
    n_dropped = sum(row["dropped_slices"] for row in rows)
    table = Table(
        title=f"A training step, {rows[0]['family']} family, medians",
        caption=f"{n_dropped} slices were dropped, because others disturbed them",
    )
    for name in ("size", "contestant"):
        table.add_column(name)
    for name in ("ms", "tokens/s", "MFU", "ours is faster by", "steps"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row["size"],
            row["contestant"],
            f"{row['seconds'] * 1e3:,.2f}",
            f"{row['tokens_per_s']:,.0f}",
            f"{row['mfu']:.0%}",
            "" if row["contestant"] == OURS else f"{row['ours_is_faster_by']:.2f} x",
            str(row["steps"]),
        )
    return table


if __name__ == "__main__":
    main()
