"""Noticing that others have been silent for too long, while this process is stuck waiting for them.

A machine that loses its power or its cable says no goodbye, and whoever waits for it in a
collective waits for ever, in code that no exception and no signal handler of Python reaches. So a
thread keeps the time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PERIOD_S = 1.0


class Watchdog:
    """Calls ``give_up`` when a wait takes longer than it may.

    Args:
        give_up: called in a thread of the watchdog's with the wait's limit in seconds; it should
            end the process, since the thread that waits cannot
    """

    def __init__(self, give_up: Callable[[float], None]) -> None:
        self._give_up = give_up
        self._limit_s = 0.0
        self._deadline: float | None = None  # by time.monotonic; None: nobody waits
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    @contextmanager
    def limit(self, seconds: float) -> Iterator[None]:
        """Give the block inside this many seconds."""
        self._limit_s = seconds
        self._deadline = time.monotonic() + seconds
        try:
            yield
        finally:
            self._deadline = None

    def _watch(self) -> None:
        while True:
            time.sleep(PERIOD_S)
            deadline = self._deadline
            if deadline is not None and time.monotonic() > deadline:
                self._give_up(self._limit_s)
                return
