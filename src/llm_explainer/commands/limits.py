"""What the system allows a user, found before work begins that would end in the middle."""

from __future__ import annotations

import threading
from pathlib import Path

from llm_explainer.errors import LLMExplainerError
from llm_explainer.machine import available_cores

PLENTY = 4096
"""Threads and processes: a limit from here on is none to us."""

MOST_TRIED = 256


def check_threads() -> None:
    """Check that there may be as many threads and processes as work on all processors takes.

    The library that multiplies matrices starts a thread for each processor, in each process that
    shares the work, and where it cannot it ends the program without a word that one understands.

    Raises:
        LLMExplainerError: there may not.
    """
    if _limit() >= PLENTY:
        return
    cores = available_cores()
    wanted = min(cores * cores, MOST_TRIED)
    started = _start_threads(wanted)
    if started < wanted:
        raise LLMExplainerError(
            f"the system allows this user {started} more threads and processes, and work on "
            f"{cores} processors takes {wanted}; end some, or raise the limit (ulimit -u)"
        )


def _limit() -> int:
    """Return how many threads and processes this user or this container may have."""
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    except (ImportError, AttributeError):
        return PLENTY
    limits = [PLENTY if soft == resource.RLIM_INFINITY else soft]
    for name in ("pids.max", "pids/pids.max"):
        file = Path("/sys/fs/cgroup") / name
        if file.is_file() and (text := file.read_text().strip()).isdecimal():
            limits.append(int(text))
    return min(limits)


def _start_threads(wanted: int) -> int:
    """Return how many of ``wanted`` threads could be started at once; they end before we return."""
    done = threading.Event()
    threads: list[threading.Thread] = []
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except RuntimeError:  # can't start new thread
        pass
    finally:
        done.set()
    for thread in threads:
        thread.join()
    return len(threads)
