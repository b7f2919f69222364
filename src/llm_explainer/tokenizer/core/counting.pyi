import numpy as np
from numpy.typing import NDArray

class WordCounter:
    """Counts the words of block after block."""

    def add_words(
        self, data: bytes, ends: NDArray[np.int32], counts: NDArray[np.int64] | None = None
    ) -> None:
        """Count the words of ``data`` that end at ``ends``: once each, or as ``counts`` says."""

    def packed(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], dict[bytes, int]]:
        """Return the words of up to 15 bytes (n, 2), their counts (n,), and the longer words."""
