"""Signals that end a command: they are exceptions, so that everything begun is put in order.

Ctrl-C under ``uv run`` arrives twice, from the terminal and from uv; so does what ``timeout``
sends. A second signal within a second is taken for the first one's echo.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

ECHO_S = 1.0
Handler = Callable[[int], None]


class Ended(BaseException):
    """A signal other than Ctrl-C asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def exit_code_of(number: int) -> int:
    """Return what a program that a signal ended exits with, as shells have it."""
    return 128 + number


@contextmanager
def on_signals(first: Handler, again: Handler) -> Iterator[None]:
    """Call ``first`` with the number of the first signal that asks this process to end.

    ``again`` is called for further ones, but not for an echo. Signals that the process was told to
    ignore, as by ``nohup``, it ignores.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may have handlers
        return
    came: list[float] = []

    def handle(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        is_echo = bool(came) and now - came[-1] < ECHO_S
        came.append(now)
        if len(came) == 1:
            first(number)
        elif not is_echo:
            again(number)

    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks the last one
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) != signal.SIG_IGN]
    before = [signal.signal(number, handle) for number in taken]
    try:
        yield
    finally:
        for number, handler in zip(taken, before, strict=True):
            signal.signal(number, handler)


def end(number: int) -> None:
    """Raise what a signal means: ``KeyboardInterrupt`` for Ctrl-C, ``Ended`` for all others."""
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Ended(number)
