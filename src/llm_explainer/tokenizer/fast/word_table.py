"""A number for every distinct word: what counting and encoding with NumPy have in common."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.fast.key_table import KeyTable, Numbers

PACKED_BYTES = 15
"""Words up to this long are packed into two 64-bit numbers; most words of most texts are."""

_KEPT_LOW = np.array([(1 << 8 * min(size, 8)) - 1 for size in range(16)], np.uint64)
_KEPT_HIGH = np.array([(1 << 8 * max(size - 8, 0)) - 1 for size in range(16)], np.uint64)
_SIZE_BITS = np.arange(16, dtype=np.uint64) << np.uint64(56)
_LONG = np.uint64(255 << 56)  # in the place of the size


class WordTable:
    """Numbers words in the order in which blocks of text bring them.

    A packed word's key is its bytes, and its size in the last byte: equal keys are equal words, so
    no text is left to compare. A longer word is in a dict, and its key is its place there.
    """

    def __init__(self) -> None:
        self._keys = KeyTable()
        self._long_places: dict[bytes, int] = {}
        self._long_words: list[bytes] = []
        self.n_long_bytes = 0

    def __len__(self) -> int:
        return len(self._keys)

    def numbers(self, data: bytes, ends: NDArray[np.int32]) -> Numbers:
        """Return the number of every word of ``data`` (n_words,); new words get the next ones."""
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1]
        sizes = ends - starts
        eights = np.ndarray((len(data) + 9,), "<u8", data + bytes(16), 0, (1,))  # from every byte
        kept = np.minimum(sizes, PACKED_BYTES)
        low = eights[starts] & _KEPT_LOW[kept]
        high = (eights[starts + 8] & _KEPT_HIGH[kept]) | _SIZE_BITS[kept]
        long = np.flatnonzero(sizes > PACKED_BYTES)
        if long.size:
            places = zip(starts[long].tolist(), ends[long].tolist(), strict=True)
            low[long] = [self._long_place(data[start:end]) for start, end in places]
            high[long] = _LONG
        return self._keys.find_or_add(low, high)

    def packed(self, start: int = 0) -> tuple[Numbers, NDArray[np.uint8], NDArray[np.int64]]:
        """Return the packed words from a number on: numbers (n,), bytes (n, 16), sizes (n,)."""
        low, high = self._keys.keys(start)
        short = np.flatnonzero(high < _LONG)
        pairs = np.stack([low[short], high[short]], axis=1).astype("<u8")  # (n, 2)
        sizes = (high[short] >> np.uint64(56)).astype(np.int64)
        return (short + start).astype(np.int32), pairs.view(np.uint8), sizes

    def long(self, start: int = 0) -> tuple[Numbers, list[bytes]]:
        """Return the longer words from a number on: their numbers (n,), and the words."""
        low, high = self._keys.keys(start)
        long = np.flatnonzero(high == _LONG)
        return (long + start).astype(np.int32), [self._long_words[i] for i in low[long].tolist()]

    def numbers_in(self, other: WordTable, start: int = 0) -> Numbers:
        """Return what number each word from a number on has in another table, -1 where none."""
        low, high = self._keys.keys(start)
        long = np.flatnonzero(high == _LONG)
        if long.size:
            low, nowhere = low.copy(), len(other._long_words)
            words = [self._long_words[i] for i in low[long].tolist()]
            low[long] = [other._long_places.get(word, nowhere) for word in words]
        return other._keys.find(low, high)

    def _long_place(self, word: bytes) -> int:
        place = self._long_places.setdefault(word, len(self._long_words))
        if place == len(self._long_words):
            self._long_words.append(word)
            self.n_long_bytes += len(word)
        return place
