"""Encoding with NumPy alone: a block's words are looked up together, and new ones merged together.

It is what the compiled core (core/encoding.pyx) does word by word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.bpe_merging import Pair, merge_word
from llm_explainer.tokenizer.vector_merging import Ids, MergeTable
from llm_explainer.tokenizer.word_table import WordTable

_WIDTHS = (1, 4, 8, 16)  # of matrices: rows of about the same length waste little
_MAX_LONG_BYTES = 1 << 22  # of words that are not packed


class VectorEncoder:
    """Ids of words by merging, remembered by the word's number.

    Args:
        ranks: the place of every merge in the order of learning.
        merged: the id that each merge makes.
        byte_ids: the id of every byte (256,).
        most_words: how many words are remembered before it begins again with none.
    """

    def __init__(
        self,
        ranks: Mapping[Pair, int],
        merged: Sequence[int],
        byte_ids: Sequence[int],
        most_words: int,
    ) -> None:
        self._ranks, self._merged_list, self._byte_list = ranks, merged, byte_ids
        pairs = np.array(list(ranks), np.int64).reshape(-1, 2)
        self._merges = MergeTable(pairs, np.array(merged, np.int32))
        self._byte_ids = np.array(byte_ids, np.int32)
        self._most_words = most_words
        self.forget()

    def encode(self, data: bytes, ends: NDArray[np.int32]) -> Ids:
        """Return the ids of all words of ``data`` (n_ids,)."""
        if len(self._words) > self._most_words or self._words.n_long_bytes > _MAX_LONG_BYTES:
            self.forget()
        n_known = len(self._words)
        numbers = self._words.numbers(data, ends)
        if len(self._words) > n_known:
            self._learn_words(n_known)
        counts = self._counts[numbers]
        places = np.cumsum(counts, dtype=np.int64)
        ids = np.empty(int(places[-1]), np.int32)
        places -= counts
        ids[places] = self._firsts[numbers]
        # The second ids of all words that have two, then the third ids, and so on.
        left, nth = np.flatnonzero(counts > 1), 1
        while left.size:
            if left.size < 8:  # a few words of many tokens
                for i in left.tolist():
                    start, stop = self._offsets[numbers[i]] + nth, self._offsets[numbers[i]]
                    stop += counts[i]
                    ids[places[i] + nth : places[i] + counts[i]] = self._kept[start:stop]
                break
            ids[places[left] + nth] = self._kept[self._offsets[numbers[left]] + nth]
            nth += 1
            left = left[counts[left] > nth]
        return ids

    def n_kept(self) -> int:
        """Return how many words are remembered."""
        return len(self._words)

    def forget(self) -> None:
        """Begin again with no words."""
        self._words = WordTable()
        self._kept = np.zeros(0, np.int32)  # the ids of word after word
        self._firsts = np.zeros(0, np.int32)  # of every word, by number
        self._counts = np.zeros(0, np.int32)
        self._offsets = np.zeros(0, np.int64)  # where its ids are

    def _learn_words(self, start: int) -> None:
        """Merge the words from a number on, and remember their ids."""
        n_new = len(self._words) - start
        firsts, counts = np.zeros(n_new, np.int32), np.zeros(n_new, np.int32)
        offsets = np.zeros(n_new, np.int64)
        n_kept, kept = len(self._kept), [self._kept]
        numbers, letters, sizes = self._words.packed(start)
        shortest = 1
        for width in _WIDTHS:
            rows = np.flatnonzero((sizes >= shortest) & (sizes <= width))
            shortest = width + 1
            if not rows.size:
                continue
            ids, n_ids = self._merges.merge_rows(self._byte_ids[letters[rows, :width]], sizes[rows])
            places = numbers[rows] - start
            firsts[places], counts[places] = ids[:, 0], n_ids
            offsets[places] = n_kept + np.cumsum(n_ids) - n_ids
            kept.append(ids[np.arange(width) < n_ids[:, None]])
            n_kept += len(kept[-1])
        for number, word in zip(*self._words.long(start), strict=True):
            byte_list = self._byte_list
            word_ids = merge_word(
                [byte_list[byte] for byte in word], self._ranks, self._merged_list
            )
            place = number - start
            firsts[place], counts[place], offsets[place] = word_ids[0], len(word_ids), n_kept
            kept.append(np.array(word_ids, np.int32))
            n_kept += len(word_ids)
        self._kept = np.concatenate(kept)
        self._firsts = np.append(self._firsts, firsts)
        self._counts = np.append(self._counts, counts)
        self._offsets = np.append(self._offsets, offsets)
