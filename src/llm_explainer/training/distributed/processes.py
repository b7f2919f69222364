"""The processes of a distributed run: what they tell each other, and how long they wait.

Process 0 leads: it alone has the text, the tokenizer and the run folder. It sends the others what
to do, a message at a time, and everything that they need for it.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_explainer.training.distributed.watchdog import Watchdog

Array = NDArray[Any]
Words = dict[str, Any]
"""The part of a message that is plain JSON values."""

FIRST_S = 300.0
"""Time for the first work in common: it compiles, and loads what it needs."""

SLACK_S = 20.0
"""Time for each later one, beside twice what the longest so far has taken."""

ORDERS_S = 600.0
"""Time that process 0 may work alone, on samples and checkpoints, while the others wait."""


class ProcessGroup(Protocol):
    """The processes, as a backend's ``connect`` returns them."""

    @property
    def rank(self) -> int:
        """The number of this process, from 0."""

    @property
    def size(self) -> int:
        """The number of processes."""

    def broadcast(self, data: bytes = b"") -> bytes:
        """Return the bytes that process 0 gave."""

    def gather(self, data: bytes) -> list[bytes]:
        """Return the bytes that each process gave."""

    def collective(self) -> Any:
        """Return a context that turns a failed collective into ``ProcessLost``."""


class Processes:
    """A group that talks in messages, and gives up on those who are silent.

    Args:
        group: as ``nn.connect()`` returns it
        give_up: called with a number of seconds when another process has been silent for as long;
            it should end this one
    """

    def __init__(self, group: ProcessGroup, give_up: Callable[[float], None]) -> None:
        self.group, self.rank, self.size = group, group.rank, group.size
        self._watchdog = Watchdog(give_up)
        self._longest_s: float | None = None  # that work in common took, but for the first
        self._orders_s = math.inf  # preparing the data may take any time

    def tell(self, words: Words, arrays: Sequence[Array] = ()) -> None:
        """Send a message to all others; only process 0 does.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        with self._watchdog.limit(self._limit_s()):
            self.group.broadcast(pack(words, arrays))

    def hear(self) -> tuple[Words, list[Array]]:
        """Wait for the next message of process 0.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        with self._watchdog.limit(self._orders_s):
            message = self.group.broadcast()
        self._orders_s = ORDERS_S
        return unpack(message)

    def gather(self, words: Any) -> list[Any]:
        """Return the plain JSON values that each process gave, in the order of their ranks.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        with self._watchdog.limit(self._limit_s()):
            return [json.loads(data) for data in self.group.gather(json.dumps(words).encode())]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Wrap work in which all processes meet, which takes each about the same time.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        started = time.monotonic()
        with self._watchdog.limit(self._limit_s()), self.group.collective():
            yield
        took_s = time.monotonic() - started
        self._longest_s = 0.0 if self._longest_s is None else max(self._longest_s, took_s)

    def _limit_s(self) -> float:
        return FIRST_S if self._longest_s is None else SLACK_S + 2 * self._longest_s


def pack(words: Words, arrays: Sequence[Array] = ()) -> bytes:
    """Return a message as bytes: a line of JSON, then the arrays one after the other."""
    kinds = [(array.dtype.str, array.shape) for array in arrays]
    header = json.dumps({"words": words, "arrays": kinds}).encode() + b"\n"
    return b"".join([header, *(np.ascontiguousarray(array).tobytes() for array in arrays)])


def unpack(message: bytes) -> tuple[Words, list[Array]]:
    """Return what ``pack`` was given."""
    start = message.index(b"\n") + 1
    header = json.loads(message[:start])
    arrays = []
    for dtype, shape in header["arrays"]:
        array = np.frombuffer(message, dtype, math.prod(shape), start).reshape(shape)
        arrays.append(array.copy())  # which begins where an array should, not anywhere
        start += array.nbytes
    return header["words"], arrays
