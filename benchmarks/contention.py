"""Training while another program keeps one processor busy, beside PyTorch.

`uv run --with torch python -m benchmarks.contention`. Slices with and without a busy loop that is
bound to one processor alternate; what counts is how much longer a step takes with it.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.interleaved import Contestant, start, take_slice
from benchmarks.shapes import BATCH_SIZES, FAMILIES

BUSY_LOOP = "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass"


def main() -> None:
    """Measure every size asked for, and show a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(BATCH_SIZES), default=["small"])
    parser.add_argument("--family", choices=FAMILIES, default="gpt2")
    parser.add_argument("--seconds", type=float, default=30.0, help="for each size")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    console = Console()
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        with console.status(size):
            rows += measure(size, options.family, options.seconds)
    table = Table(title=f"A training step beside a busy program, {options.family} family, medians")
    for name in ("size", "contestant"):
        table.add_column(name)
    for name in ("alone, ms", "disturbed, ms", "slower by"):
        table.add_column(name, justify="right")
    for row in rows:
        alone, disturbed = row["alone"], row["disturbed"]
        table.add_row(
            row["size"],
            row["contestant"],
            f"{alone * 1e3:,.1f}",
            f"{disturbed * 1e3:,.1f}",
            f"{disturbed / alone:.2f} x",
        )
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(size: str, family: str, seconds: float) -> list[dict[str, Any]]:
    """Return the seconds of a step of each contestant, alone and disturbed."""
    modules = {"llm-explainer": ("benchmarks.train_numpy", [size, family])}
    if importlib.util.find_spec("torch"):
        modules["PyTorch eager"] = ("benchmarks.train_torch", [size, family, "eager"])
    workers = [start(Contestant(name, *how)) for name, how in modules.items()]
    pairs = [(Contestant(name, *how), Contestant(name, *how)) for name, how in modules.items()]
    busy = subprocess.Popen([sys.executable, "-c", BUSY_LOOP])
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for worker, (alone, disturbed) in zip(workers, pairs, strict=True):
                os.kill(busy.pid, signal.SIGSTOP)
                take_slice(alone, worker, keep_contended=True)
                os.kill(busy.pid, signal.SIGCONT)
                take_slice(disturbed, worker, keep_contended=True)
    finally:
        for process in (busy, *workers):
            process.kill()
    return [
        {
            "size": size,
            "family": family,
            "contestant": alone.name,
            "alone": alone.median(),
            "disturbed": disturbed.median(),
        }
        for alone, disturbed in pairs
    ]


if __name__ == "__main__":
    main()
