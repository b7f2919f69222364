"""Encoding with NumPy alone: a block's words are looked up together, and new ones merged together.

It is what the compiled core (core/encoding.pyx) does word by word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.fast.numpy_merging import Ids, MergeTable
from llm_explainer.tokenizer.fast.word_table import WordTable
from llm_explainer.tokenizer.readable.merging import merge_word
from llm_explainer.tokenizer.readable.naive import Pair
from llm_explainer.tokenizer.readable.symbols import Symbols

_WIDTHS = (1, 4, 8, 16)  # of matrices: rows of about the same length waste little
_MAX_LONG_BYTES = 1 << 22  # of words that are not packed


class Memory:
    """Words by number, and the ids of each."""

    def __init__(self) -> None:
        self.words = WordTable()
        self.ids = np.zeros(0, np.int32)  # of word after word
        self.firsts = np.zeros(0, np.int32)  # the first id of every word, by number
        self.counts = np.zeros(0, np.int32)  # how many it has
        self.offsets = np.zeros(0, np.int64)  # where they are

    def keep(self, numbers: NDArray[np.integer], ids: Ids, counts: NDArray[np.integer]) -> None:
        """Keep the ids of some words: those of word after word, and how many each has."""
        starts = np.cumsum(counts, dtype=np.int64) - counts
        self.firsts[numbers], self.counts[numbers] = ids[starts], counts
        self.offsets[numbers] = len(self.ids) + starts
        self.ids = np.concatenate([self.ids, ids])

    def make_room(self) -> None:
        """Let ids be kept for all words that have a number."""
        n_more = len(self.words) - len(self.counts)
        self.firsts = np.append(self.firsts, np.zeros(n_more, np.int32))
        self.counts = np.append(self.counts, np.zeros(n_more, np.int32))
        self.offsets = np.append(self.offsets, np.zeros(n_more, np.int64))

    def is_full(self, most_words: int) -> bool:
        """Return whether this is as much as one memory may hold."""
        return len(self.words) > most_words or self.words.n_long_bytes > _MAX_LONG_BYTES


class NumpyEncoder:
    """Ids of words by merging, remembered by the word's number.

    There are two memories, each for half of the words: when the first is full it becomes the
    second, and the one that was the second is gone. A word that is found in the second is copied to
    the first, so what is used stays.

    Args:
        ranks: the place of every merge in the order of learning.
        merged: the id that each merge makes.
        symbols: what words begin with.
        most_words: how many words are remembered, and a block's more.
        whole_words: words that are not merged, and their ids.
    """

    _recent: Memory
    _older: Memory

    def __init__(
        self,
        ranks: Mapping[Pair, int],
        merged: Sequence[int],
        symbols: Symbols,
        most_words: int,
        whole_words: Mapping[bytes, int],
    ) -> None:
        self._ranks, self._merged_list, self._symbols = ranks, merged, symbols
        pairs = np.array(list(ranks), np.int64).reshape(-1, 2)
        self._merges = MergeTable(pairs, np.array(merged, np.int32))
        self._byte_ids = np.array(symbols.byte_ids, np.int32)
        self._most_words, self._whole_words = most_words, whole_words
        self.forget()

    def encode(self, data: bytes, ends: NDArray[np.int32]) -> Ids:
        """Return the ids of all words of ``data`` (n_ids,)."""
        if self._recent.is_full(self._most_words // 2):
            self._older, self._recent = self._recent, Memory()
        memory = self._recent
        n_known = len(memory.words)
        numbers = memory.words.numbers(data, ends)
        if len(memory.words) > n_known:
            self._learn_words(n_known)
        counts = memory.counts[numbers]
        places = np.cumsum(counts, dtype=np.int64)
        ids = np.empty(int(places[-1]), np.int32)
        places -= counts
        ids[places] = memory.firsts[numbers]
        # The second ids of all words that have two, then the third ids, and so on.
        left, nth = np.flatnonzero(counts > 1), 1
        while left.size:
            if left.size < 8:  # a few words of many tokens
                for i in left.tolist():
                    start, stop = memory.offsets[numbers[i]] + nth, memory.offsets[numbers[i]]
                    stop += counts[i]
                    ids[places[i] + nth : places[i] + counts[i]] = memory.ids[start:stop]
                break
            ids[places[left] + nth] = memory.ids[memory.offsets[numbers[left]] + nth]
            nth += 1
            left = left[counts[left] > nth]
        return ids

    def n_kept(self) -> int:
        """Return how many words are remembered."""
        return len(self._recent.words) + len(self._older.words)

    def forget(self) -> None:
        """Begin again with no words."""
        self._recent, self._older = Memory(), Memory()

    def _learn_words(self, start: int) -> None:
        """Keep the ids of the words from a number on: the second memory's, or by merging."""
        memory, older = self._recent, self._older
        memory.make_room()
        known = memory.words.numbers_in(older.words, start)
        moved = np.flatnonzero(known >= 0)
        if moved.size:
            counts = older.counts[known[moved]]
            ends = np.cumsum(counts, dtype=np.int64)
            shifts = older.offsets[known[moved]] - (ends - counts)
            ids = older.ids[np.arange(ends[-1]) + np.repeat(shifts, counts)]
            memory.keep(moved + start, ids, counts)
        numbers, letters, sizes = memory.words.packed(start)
        sizes[known[numbers - start] >= 0] = 0  # no longer to be merged
        one_by_one = dict[int, list[int]]()
        if self._symbols.char_ids is not None:  # of which no byte knows whether it has an id
            words = split(letters, sizes)
            places = np.flatnonzero(sizes).tolist()
            one_by_one |= {int(numbers[i]): self._merge(words[i]) for i in places}
            sizes[:] = 0
        shortest = 1
        for width in _WIDTHS:
            rows = np.flatnonzero((sizes >= shortest) & (sizes <= width))
            shortest = width + 1
            if rows.size:
                word_ids = self._byte_ids[letters[rows, :width]]
                word_ids, n_ids = self._merges.merge_rows(word_ids, sizes[rows])
                kept = word_ids[np.arange(width) < n_ids[:, None]]
                memory.keep(numbers[rows], kept, n_ids)
        one_by_one |= {
            int(number): self._merge(word)
            for number, word in zip(*memory.words.long(start), strict=True)
            if known[number - start] < 0
        }
        if self._whole_words:
            pairs = zip(numbers.tolist(), split(letters, sizes), strict=True)
            whole = self._whole_words
            one_by_one |= {number: [whole[word]] for number, word in pairs if word in whole}
        if one_by_one:
            lists = one_by_one.values()
            memory.keep(
                np.array([*one_by_one]),
                np.array([*chain.from_iterable(lists)], np.int32),
                np.array([*map(len, lists)]),
            )

    def _merge(self, word: bytes) -> list[int]:
        if word in self._whole_words:
            return [self._whole_words[word]]
        return merge_word(self._symbols.of(word), self._ranks, self._merged_list)


def split(letters: NDArray[np.uint8], sizes: NDArray[np.int64]) -> list[bytes]:
    """Return words (n,) from a matrix with one in each row."""
    return [row.tobytes()[:size] for row, size in zip(letters, sizes.tolist(), strict=True)]
