"""Distinct words and their counts as arrays: what counting gives and training takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WordCounts:
    """Distinct words, and how often each occurs."""

    data: NDArray[np.uint8]  # the bytes of word after word
    sizes: NDArray[np.int64]  # (n,)
    counts: NDArray[np.int64]  # (n,)

    @classmethod
    def of(cls, counts: Mapping[bytes, int]) -> Self:
        """Return the same as arrays."""
        return cls(
            np.frombuffer(b"".join(counts), np.uint8),
            np.array([*map(len, counts)], np.int64),
            np.array([*counts.values()], np.int64),
        )

    def as_dict(self) -> dict[bytes, int]:
        """Return the count of every word."""
        ends, data = np.cumsum(self.sizes), self.data.tobytes()
        starts = ends - self.sizes
        words = [data[i:j] for i, j in zip(starts.tolist(), ends.tolist(), strict=True)]
        return dict(zip(words, self.counts.tolist(), strict=True))
