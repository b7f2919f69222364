"""A clock that credits every moment to exactly one label.

It is for one thread. Labels nest: a layer that calls another stops being credited until that one
returns, so each label gets its own time, without that of the layers inside.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

OTHER = "rest of the step"
"""What runs outside all labels."""


@dataclass
class Tally:
    """NumPy's operations of one kind, added up."""

    seconds: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0  # read and written

    def add(self, seconds: float, flops: float, n_bytes: float) -> None:
        """Count one operation."""
        self.seconds += seconds
        self.flops += flops
        self.bytes += n_bytes


@dataclass
class Counts:
    """What a clock counted."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))  # by label
    kernels: dict[tuple[str, str], Tally] = field(default_factory=lambda: defaultdict(Tally))
    """NumPy's own work, by label and kind."""

    @property
    def total(self) -> float:
        """Seconds of all labels."""
        return sum(self.seconds.values())


class Clock:
    """Credits time to labels, and NumPy's operations to labels and kinds."""

    def __init__(self) -> None:
        self._labels = [OTHER]
        self._counts = Counts()
        self._since = time.perf_counter()

    @property
    def label(self) -> str:
        """Who is being credited now."""
        return self._labels[-1]

    @contextmanager
    def running(self) -> Iterator[Counts]:
        """Count what happens inside, from zero."""
        self._counts = counts = Counts()
        self._since = time.perf_counter()
        yield counts
        self._credit()

    def watched(self, function: Callable[..., Any], label: str) -> Callable[..., Any]:
        """Return ``function`` with its time credited to ``label``.

        A function that returns (result, closure), as every ``forward`` does, has its closure
        watched too: that is the backward pass.
        """

        def watched(*args: Any, **kwargs: Any) -> Any:
            self._enter(label)
            try:
                result = function(*args, **kwargs)
            finally:
                self._leave()
            if isinstance(result, tuple) and len(result) == 2 and callable(result[1]):
                return result[0], self.watched(result[1], label)
            return result

        return watched

    def count(self, kind: str, seconds: float, flops: float, n_bytes: float) -> None:
        """Count one of NumPy's operations under the current label."""
        self._counts.kernels[self.label, kind].add(seconds, flops, n_bytes)

    def _enter(self, label: str) -> None:
        self._credit()
        self._labels.append(label)

    def _leave(self) -> None:
        self._credit()
        self._labels.pop()

    def _credit(self) -> None:
        now = time.perf_counter()
        self._counts.seconds[self.label] += now - self._since
        self._since = now
