from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

class Learner:
    """Learns merges from words and how often they occur.

    Args:
        order: of the 256 bytes, when equally frequent pairs go by the ids of their symbols;
            None when the lexicographically greatest pair of byte strings goes first.
        min_frequency: merge no pair that occurs less often than this.
    """

    def __init__(self, order: Sequence[int] | None, min_frequency: int) -> None: ...
    def load(
        self, words: NDArray[np.uint8], sizes: NDArray[np.int64], counts: NDArray[np.int64]
    ) -> None:
        """Take all words: their bytes one after the other, their sizes and counts."""

    def learn(
        self, n_merges: int, progress: Callable[[str, int, int], None] | None
    ) -> list[tuple[int, int]]:
        """Return at most ``n_merges`` pairs of symbols, in the order of learning."""
