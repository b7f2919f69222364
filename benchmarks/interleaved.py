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
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

SLICE_S = 0.4
SETTLE_S = 0.1  # after a slice, threads of its BLAS still spin for a while
WARMUP_STEPS = 3
STAT = Path("/proc/stat")


@dataclass
class Contestant:
    """A program that takes part, and the seconds that each of its steps took."""

    name: str
    module: str  # run as ``python -m module arguments``; its main calls ``serve``
    arguments: Sequence[str]
    python: str = sys.executable
    environment: dict[str, str] = field(default_factory=dict)  # beside what is set already
    folder: Path | None = None  # in which it runs; None for this one
    seconds: list[float] = field(default_factory=list)
    dropped_slices: int = 0

    def median(self) -> float:
        """Return the median seconds of a step."""
        return sorted(self.seconds)[len(self.seconds) // 2]


def in_checkout(contestant: Contestant, folder: Path) -> Contestant:
    """Return the same contestant as the code of another checkout has it, set up by ``uv sync``."""
    python = folder.resolve() / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"{folder} has no .venv/bin/python; run uv sync there first")
    return replace(
        contestant,
        name=f"{contestant.name}, other",
        python=str(python),
        folder=folder.resolve(),
        seconds=[],
    )


def race(contestants: Sequence[Contestant], seconds: float, keep_contended: bool = False) -> None:
    """Run all contestants in turn until ``seconds`` are over; fill in their step times.

    Half of the time they are started in the order given, half in the opposite one: of two processes
    of the same code the one that was started first was 2 to 3 % slower, in 10 of 10 races.

    ``keep_contended`` counts slices in which others used the processors too: for a machine that is
    never quiet, where it still disturbs all contestants alike.

    Raises:
        RuntimeError: a contestant did not start, or had no slice of its own.
    """
    for order in (contestants, contestants[::-1]):
        _race_once(order, seconds / 2, keep_contended)
    for contestant in contestants:
        if not contestant.seconds:
            raise RuntimeError(f"{contestant.name}: every slice was contended; run it for longer")


def _race_once(contestants: Sequence[Contestant], seconds: float, keep_contended: bool) -> None:
    """Start the contestants in this order, and let them work in turn."""
    with ExitStack() as stack:
        workers = []
        for contestant in contestants:
            workers.append(stack.enter_context(start(contestant)))  # its pipes are closed
            stack.callback(workers[-1].kill)  # ... after this
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for contestant, worker in zip(contestants, workers, strict=True):
                take_slice(contestant, worker, keep_contended)


def serve(step: Callable[[], object], warmup_steps: int = WARMUP_STEPS) -> None:
    """Be a contestant: run ``step`` for as long as each line of standard input says."""
    for _ in range(warmup_steps):
        step()
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        start = before = time.perf_counter()
        while before - start < float(line):
            step()
            after = time.perf_counter()
            times.append(after - before)
            before = after
        print(before - start, *times, flush=True)


def start(contestant: Contestant) -> subprocess.Popen[str]:
    """Start a contestant's process and wait until it is warm.

    Raises:
        RuntimeError: it did not start.
    """
    worker = subprocess.Popen(
        [contestant.python, "-m", contestant.module, *contestant.arguments],
        env={**os.environ, **contestant.environment},
        cwd=contestant.folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    if worker.stdout.readline().strip() != "ready":
        raise RuntimeError(f"{contestant.name} did not start; its error is above")
    return worker


def take_slice(
    contestant: Contestant, worker: subprocess.Popen[str], keep_contended: bool = False
) -> None:
    """Let a contestant work for a slice, and note its steps unless others disturbed them."""
    assert worker.stdin is not None
    assert worker.stdout is not None
    time.sleep(SETTLE_S)
    busy, own = busy_seconds(), own_seconds(worker.pid)
    print(SLICE_S, file=worker.stdin, flush=True)
    wall, *times = map(float, worker.stdout.readline().split())
    others = busy_seconds() - busy - (own_seconds(worker.pid) - own)
    if (
        not keep_contended and others > 0.05 * wall + 0.02
    ):  # the kernel counts in hundredths of a second
        contestant.dropped_slices += 1
    else:
        contestant.seconds += times


def busy_seconds() -> float:
    """Return the processor seconds used by everyone since boot; 0 where nobody counts them."""
    if not STAT.exists():
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, STAT.read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds(pid: int) -> float:
    """Return the processor seconds used by a process and all that it started; 0 as above."""
    if not STAT.exists():
        return 0.0
    ticks = 0
    for member in family(pid):
        with suppress(OSError):  # it may just have ended
            ticks += sum(map(int, _stat_fields(member)[11:15]))  # and of children that ended
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and its descendants, from Linux's table of processes."""
    children = defaultdict(list)
    for path in STAT.parent.glob("[0-9]*"):
        with suppress(OSError):
            children[int(_stat_fields(int(path.name))[1])].append(int(path.name))
    members = [pid]
    for member in members:  # grows while it is walked along
        members += children[member]
    return members


def _stat_fields(pid: int) -> list[str]:
    """Return what Linux says of a process behind its name, which may hold spaces."""
    return (STAT.parent / str(pid) / "stat").read_text().rpartition(")")[2].split()
