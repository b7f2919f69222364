"""Peak memory of training, beside PyTorch: `uv run --with torch python -m benchmarks.memory`.

Each contestant trains in fresh processes while this one looks how much memory they hold: the sum
over its processes of what each has alone and its share of what several have (Linux's PSS). That
includes Python, NumPy or PyTorch, and the model.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.interleaved import Contestant, family, start, take_slice
from benchmarks.shapes import BATCH_SIZES, FAMILIES

PAUSE_S = 0.005
SLICES = 3


def main() -> None:
    """Measure every size asked for, and show a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(BATCH_SIZES), default=["small"])
    parser.add_argument("--family", choices=FAMILIES, default="gpt2")
    parser.add_argument(
        "--lora", nargs="*", default=[], metavar="TARGETS", help="with adapters too"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    console, rows = Console(), []
    for size in options.sizes:
        with console.status(size):
            rows.append(measure(size, options.family, options.lora))
    table = Table(title=f"Peak memory of training, {options.family} family, MB")
    for name in rows[0]:
        table.add_column(name, justify="left" if name == "size" else "right")
    for row in rows:
        table.add_row(*(f"{v / 1e6:,.0f}" if isinstance(v, int) else v for v in row.values()))
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")


def measure(size: str, model_family: str, adapters: Sequence[str] = ()) -> dict[str, Any]:
    """Return each contestant's peak in bytes."""
    row: dict[str, Any] = {"size": size}
    row["llm-explainer"] = peak_memory("benchmarks.train_numpy", [size, model_family])
    for targets in adapters:
        row[f"LoRA, {targets}"] = peak_memory(
            "benchmarks.train_numpy", [size, model_family, targets]
        )
    if importlib.util.find_spec("torch"):
        row["PyTorch eager"] = peak_memory("benchmarks.train_torch", [size, model_family, "eager"])
    return row


def peak_memory(module: str, arguments: Sequence[str]) -> int:
    """Return the most bytes that a contestant's processes held at once."""
    contestant = Contestant(module, module, arguments)
    worker = start(contestant)
    peak, is_over = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not is_over.is_set():
            peak = max(peak, sum(map(proportional_memory, members)))
            time.sleep(PAUSE_S)

    members = family(worker.pid)  # its first steps are done, so all of them are there
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(SLICES):
            take_slice(contestant, worker, keep_contended=True)
    finally:
        is_over.set()
        watcher.join()
        worker.kill()
    return peak


def proportional_memory(pid: int) -> int:
    """Return the bytes that a process holds; pages that several hold are shared out among them."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit("benchmarks.memory reads Linux's /proc, which is not here")
    main()
