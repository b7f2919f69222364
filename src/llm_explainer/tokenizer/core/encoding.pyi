from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

class WordEncoder:
    """Ids of words by merging, remembered for the next time.

    Args:
        pairs: left id * 2**32 + right id of every merge (n_merges,), in the order of learning.
        merged: the id that each makes.
        byte_ids: the id of every byte (256,).
        most_words: how many words are remembered; those go that were not used for long.
        whole_words: words that are not merged, and their ids.
        char_ids: the id of every code point (0x110000,), -1 for none; empty where words are bytes.
    """

    def __init__(
        self,
        pairs: NDArray[np.int64],
        merged: Sequence[int],
        byte_ids: Sequence[int],
        most_words: int,
        whole_words: dict[bytes, int],
        char_ids: NDArray[np.int32],
    ) -> None: ...
    def encode(self, data: bytes, ends: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the ids of all words of ``data`` that end at ``ends`` (n_ids,)."""

    def forget(self) -> None:
        """Begin again with no words."""

    def n_kept(self) -> int:
        """Return how many words are remembered."""
