"""Timing several programs fairly on a machine that others use too.

Each contestant runs in a process of its own and works only when told to: in slices of a fraction
of a second, one contestant after the other, round and round. A slice in which other processes used
the processors is dropped. What is left compares like with like, however the machine drifts.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SLICE_S = 0.4
WARMUP_STEPS = 3
STAT = Path("/proc/stat")


@dataclass
class Contestant:
    """A program that takes part, and the seconds that each of its steps took."""

    name: str
    module: str  # run as ``python -m module arguments``; its main calls ``serve``
    arguments: Sequence[str]
    seconds: list[float] = field(default_factory=list)
    dropped_slices: int = 0

    def median(self) -> float:
        """Return the median seconds of a step."""
        return sorted(self.seconds)[len(self.seconds) // 2]


def race(contestants: Sequence[Contestant], seconds: float) -> None:
    """Run all contestants in turn until ``seconds`` are over; fill in their step times.

    Raises:
        RuntimeError: a contestant did not start, or had no slice of its own.
    """
    workers = [_start(contestant) for contestant in contestants]
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for contestant, worker in zip(contestants, workers, strict=True):
                _one_slice(contestant, worker)
    finally:
        for worker in workers:
            worker.kill()
    for contestant in contestants:
        if not contestant.seconds:
            raise RuntimeError(f"{contestant.name}: every slice was contended; run it for longer")


def serve(step: Callable[[], object]) -> None:
    """Be a contestant: run ``step`` for as long as each line of standard input says."""
    for _ in range(WARMUP_STEPS):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        times, cpu = [], time.process_time()
        start = before = time.perf_counter()
        while before - start < float(line):
            step()
            after = time.perf_counter()
            times.append(after - before)
            before = after
        print(time.process_time() - cpu, before - start, *times, flush=True)


def _start(contestant: Contestant) -> subprocess.Popen[str]:
    worker = subprocess.Popen(
        [sys.executable, "-m", contestant.module, *contestant.arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    if worker.stdout.readline().strip() != "ready":
        raise RuntimeError(f"{contestant.name} did not start; its error is above")
    return worker


def _one_slice(contestant: Contestant, worker: subprocess.Popen[str]) -> None:
    assert worker.stdin is not None
    assert worker.stdout is not None
    busy = _busy_seconds()
    print(SLICE_S, file=worker.stdin, flush=True)
    cpu, wall, *times = map(float, worker.stdout.readline().split())
    others = _busy_seconds() - busy - cpu
    if others > 0.05 * wall + 0.02:  # the kernel counts in hundredths of a second
        contestant.dropped_slices += 1
    else:
        contestant.seconds += times


def _busy_seconds() -> float:
    """Return the processor seconds used by everyone since boot; 0 where nobody counts them."""
    if not STAT.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, STAT.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
