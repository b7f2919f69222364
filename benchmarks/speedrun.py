"""The fewest seconds to nanoGPT's CPU headline: Shakespeare by characters, validation loss 1.88.

``uv run --with torch python -m benchmarks.speedrun tinyshakespeare.txt``. Ours and the nanoGPT
configuration on PyTorch run in turn, each with all cores and with another seed each time. A time
is that of the training steps, without the evaluations, up to the first evaluation at or under 1.88.
Where a run never gets there, it is the time of the whole run, and its last loss says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.interleaved import busy_seconds
from benchmarks.speedrun_task import GOAL
from llm_explainer.files import write_atomically

CONTESTANTS = {
    "llm-explainer numpy": "benchmarks.speedrun_ours",
    "nanoGPT's configuration, PyTorch": "benchmarks.speedrun_torch",
}


@dataclass(frozen=True)
class Run:
    """How one run went."""

    contestant: str
    seed: int
    step: int  # at which the clock stopped
    seconds: float  # of training until then
    loss: float  # of the evaluation that stopped it, or of the last one
    final_loss: float  # of the last evaluation
    whole_loss: float  # of the finished model, on all validation text
    others: float  # processors that other programs kept busy meanwhile, on average

    @property
    def reached(self) -> bool:
        """Whether the headline was reached."""
        return self.loss <= GOAL


def run(contestant: str, corpus: Path, seed: int) -> Run:
    """Let a contestant run to its end, in a process of its own.

    Raises:
        subprocess.CalledProcessError: it failed; its error is above.
    """
    start, busy, own = time.monotonic(), busy_seconds(), children_seconds()
    command = [sys.executable, "-m", CONTESTANTS[contestant], str(corpus), str(seed)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    others = busy_seconds() - busy - (children_seconds() - own)
    *evaluations, last = map(json.loads, output.splitlines())
    stop = next((e for e in evaluations if e["loss"] <= GOAL), evaluations[-1])
    return Run(
        contestant,
        seed,
        stop["step"],
        stop["seconds"],
        stop["loss"],
        evaluations[-1]["loss"],
        last["whole"],
        max(0.0, others / (time.monotonic() - start)),
    )


def children_seconds() -> float:
    """Return the processor seconds of the processes that this one started and saw end."""
    times = os.times()
    return times.children_user + times.children_system


def make_table(runs: Sequence[Run]) -> Table:
    """Return a row for each run."""
    table = Table(title=f"to a validation loss of {GOAL}", title_justify="left")
    for heading in ("", "seed", "step", "seconds", "loss", "at the end", "whole", "others"):
        table.add_column(heading, justify="right" if heading else "left")
    for r in runs:
        table.add_row(
            r.contestant,
            str(r.seed),
            f"{r.step:,}",
            f"{r.seconds:.1f}" + ("" if r.reached else " *"),
            f"{r.loss:.4f}",
            f"{r.final_loss:.4f}",
            f"{r.whole_loss:.4f}",
            f"{r.others:.2f}",
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Run the contestants in turn and print the medians."""
    parser = argparse.ArgumentParser(prog="benchmarks.speedrun", description=__doc__)
    parser.add_argument("corpus", type=Path, help="tinyshakespeare.txt, 1,115,394 bytes")
    parser.add_argument("--runs", type=int, default=3, help="of each contestant")
    parser.add_argument("--only-ours", action="store_true", help="leave out the peer")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    options = parser.parse_args(argv)
    names = list(CONTESTANTS)
    if options.only_ours or not importlib.util.find_spec("torch"):
        names = names[:1]
    runs: list[Run] = []
    console = Console(highlight=False)
    for seed in range(options.runs):
        for name in names:
            runs.append(run(name, options.corpus, seed))
            console.print(f"{name}, seed {seed}: {runs[-1].seconds:.1f} s")
    console.print(make_table(runs))
    if not all(r.reached for r in runs):
        console.print(f"* never came to {GOAL}; the time is that of the whole run")
    medians = {name: median(r.seconds for r in runs if r.contestant == name) for name in names}
    for name, seconds in medians.items():
        console.print(f"median of {options.runs}: {seconds:7.1f} s  {name}")
    if len(names) > 1:
        ours, theirs = medians.values()
        console.print(f"ours takes {ours / theirs:.2f} of the time")
    if options.json:
        figures = {"runs": [asdict(r) for r in runs], "median_seconds": medians}
        write_atomically(options.json, json.dumps(figures, indent=2).encode())


if __name__ == "__main__":
    main()
