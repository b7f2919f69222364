# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: language = c++
"""Counting words: each is looked up in the table, and one is added to its slot's value."""

import numpy as np

from libcpp.vector cimport vector

from llm_explainer.tokenizer.core.table cimport (
    FIRST_SLOTS,
    PACKED,
    Slot,
    byte,
    double_slots,
    find_slot,
    i64,
    make_empty,
    pack,
    u64,
)


cdef class WordCounter:
    """Counts the words of block after block; see counting.pyi."""

    cdef vector[Slot] slots
    cdef size_t n_words
    cdef dict long_words

    def __init__(self):
        make_empty(&self.slots, FIRST_SLOTS)
        self.long_words = {}

    def add_words(self, bytes data, const int[::1] ends, const i64[::1] counts=None):
        cdef const byte* text = data
        cdef Py_ssize_t size = len(data), start = 0, stop, i
        cdef u64 low, high, count = 1
        cdef Slot* slot
        for i in range(ends.shape[0]):
            stop = ends[i]
            if counts is not None:
                count = counts[i]
            if stop - start <= PACKED:
                pack(text + start, stop - start, start + 16 <= size, &low, &high)
                slot = find_slot(self.slots, low, high)
                if slot.high:
                    slot.value += count
                else:
                    slot.low, slot.high, slot.value = low, high, count
                    self.n_words += 1
                    if 2 * self.n_words > self.slots.size():
                        double_slots(&self.slots)
            else:
                word = data[start:stop]
                self.long_words[word] = self.long_words.get(word, 0) + count
            start = stop

    def packed(self):
        """Return the words (n, 2) of the table as uint64, and their counts (n,)."""
        keys, counts = np.empty((self.n_words, 2), np.uint64), np.empty(self.n_words, np.int64)
        cdef u64[:, ::1] keys_view = keys
        cdef i64[::1] counts_view = counts
        cdef size_t slot, n = 0
        for slot in range(self.slots.size()):
            if self.slots[slot].high:
                keys_view[n, 0], keys_view[n, 1] = self.slots[slot].low, self.slots[slot].high
                counts_view[n] = <i64> self.slots[slot].value
                n += 1
        return keys, counts, self.long_words
