"""Counting words with NumPy alone, what the compiled core (core/counting.pyx) does word by word."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.fast.word_table import WordTable

_FLUSH_WORDS = 1 << 20  # whose numbers are gathered before they are counted


class NumpyCounter:
    """Counts the words of block after block with NumPy, as ``core.counting.WordCounter`` does."""

    def __init__(self) -> None:
        self._words = WordTable()
        self._counts = np.zeros(0, np.int64)  # by a word's number
        self._gathered: list[NDArray[np.int32]] = []
        self._n_gathered = 0

    def add_words(
        self, data: bytes, ends: NDArray[np.int32], counts: NDArray[np.int64] | None = None
    ) -> None:
        """Count the words of ``data`` that end at ``ends``: once each, or as ``counts`` says."""
        numbers = self._words.numbers(data, ends)
        if counts is not None:
            self._flush()
            np.add.at(self._counts, numbers, counts)
            return
        self._gathered.append(numbers)
        self._n_gathered += len(numbers)
        if self._n_gathered > _FLUSH_WORDS:
            self._flush()

    def packed(self) -> tuple[NDArray[np.uint64], NDArray[np.int64], dict[bytes, int]]:
        """Return the words of up to 15 bytes (n, 2), their counts (n,), and the longer words."""
        self._flush()
        numbers, letters, _ = self._words.packed()
        long_numbers, long_words = self._words.long()
        long_counts = self._counts[long_numbers].tolist()
        return (
            letters.view("<u8"),
            self._counts[numbers],
            dict(zip(long_words, long_counts, strict=True)),
        )

    def _flush(self) -> None:
        """Add up what was gathered; adding up every block on its own would touch every word."""
        counts = np.zeros(len(self._words), np.int64)
        counts[: len(self._counts)] = self._counts
        if self._gathered:
            counts += np.bincount(np.concatenate(self._gathered), minlength=len(counts))
        self._counts, self._gathered, self._n_gathered = counts, [], 0
