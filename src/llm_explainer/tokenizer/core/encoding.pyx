# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: language = c++
"""Turning words into ids: each distinct word is merged once, and then looked up in the table."""

import numpy as np

from libc.string cimport memcpy
from libcpp.vector cimport vector

from llm_explainer.tokenizer.core.heap cimport NEVER, pop, push
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

cdef enum:
    PLAIN = 64  # symbols up to which looking for the best merge beats keeping a heap
    KEPT = 255  # bytes of the longest word whose ids are kept


cdef struct Merge:
    i64 pair  # left id * 2**32 + right id; -1 where there is none
    int rank


cdef class Memory:
    """Words and their ids.

    The value of a word is where its ids are, or its only id, times 256, plus how many there are.
    """

    cdef vector[Slot] slots
    cdef size_t n_words
    cdef vector[int] ids
    cdef dict long_words

    def __init__(self):
        make_empty(&self.slots, FIRST_SLOTS)
        self.long_words = {}


cdef class WordEncoder:
    """Ids of words by merging, remembered; see encoding.pyi.

    There are two memories. When the first has half of all the words that may be kept, it becomes
    the second, and the one that was the second is gone; a word that is found in the second moves to
    the first. So what is used stays, and it costs no look-up of a word that is in the first.
    """

    cdef Memory recent, older
    cdef vector[Merge] merges
    cdef u64 merges_mask
    cdef vector[int] merged, ids  # ids: of the word at hand
    cdef int[256] byte_ids
    cdef size_t most_words
    cdef dict whole_words  # None where there are none, the usual case
    cdef const int[::1] char_ids  # of every code point, -1 for none; empty where words are bytes

    def __init__(self, pairs, merged, byte_ids, most_words, whole_words, const int[::1] char_ids):
        cdef i64[::1] pairs_view = pairs
        cdef Merge none
        cdef Py_ssize_t rank, n_slots = 1024
        while n_slots < 3 * len(pairs):
            n_slots *= 2
        none.pair, none.rank, self.merges_mask = -1, NEVER, n_slots - 1
        self.merges.assign(n_slots, none)
        for rank in range(pairs_view.shape[0]):
            self.merge_of(pairs_view[rank])[0] = Merge(pairs_view[rank], <int> rank)
        self.merged = merged
        self.byte_ids = byte_ids
        self.most_words = most_words
        self.whole_words = whole_words or None
        self.char_ids = char_ids
        self.forget()

    def encode(self, bytes data, const int[::1] ends):
        cdef const byte* text = data
        cdef Py_ssize_t size = len(data), start = 0, stop, length, i, n_ids = 0
        cdef Py_ssize_t room = 2 * ends.shape[0] + 64
        cdef u64 low, high, value
        cdef Slot* slot
        out = np.empty(room, np.int32)
        cdef int[::1] out_view = out
        for i in range(ends.shape[0]):
            stop = ends[i]
            length = stop - start
            if length <= PACKED:
                pack(text + start, length, start + 16 <= size, &low, &high)
                slot = find_slot(self.recent.slots, low, high)
                value = slot.value if slot.high else self.short_word(text + start, length, low, high)
            else:
                value = self.long_word(data, start, stop)
            length = value & 255
            if value == 0:  # too long to be remembered
                length = self.ids.size()
            if n_ids + length > room:
                room = 2 * (n_ids + length)
                out = np.concatenate([out[:n_ids], np.empty(room - n_ids, np.int32)])
                out_view = out
            if value & 255 == 1:
                out_view[n_ids] = <int> (value >> 8)
            elif value:
                memcpy(&out_view[n_ids], &self.recent.ids[value >> 8], 4 * length)
            else:
                memcpy(&out_view[n_ids], self.ids.data(), 4 * length)
            n_ids += length
            start = stop
        return out[:n_ids]

    def n_kept(self):
        """Return how many words are remembered."""
        return (
            self.recent.n_words
            + len(self.recent.long_words)
            + self.older.n_words
            + len(self.older.long_words)
        )

    def forget(self):
        """Begin again with no words."""
        self.recent, self.older = Memory(), Memory()

    cdef void make_room(self) except *:
        """See to it that the first memory can take one word more; long ones take far more room."""
        cdef size_t n_long = len(self.recent.long_words)
        if 2 * self.recent.n_words >= self.most_words or 16 * n_long >= self.most_words:
            self.older, self.recent = self.recent, Memory()

    cdef u64 short_word(self, const byte* word, Py_ssize_t size, u64 low, u64 high) except *:
        """Return the value of a word that the first memory lacks, and put it there."""
        cdef Slot* slot
        cdef u64 value
        self.make_room()
        slot = find_slot(self.older.slots, low, high)
        value = self.move(slot.value) if slot.high else self.remember(word, size)
        find_slot(self.recent.slots, low, high)[0] = Slot(low, high, value)
        self.recent.n_words += 1
        if 2 * self.recent.n_words > self.recent.slots.size():
            double_slots(&self.recent.slots)
        return value

    cdef u64 long_word(self, bytes data, Py_ssize_t start, Py_ssize_t stop) except *:
        if stop - start > KEPT:
            self.merge_word(<const byte*> data + start, stop - start)
            return 0
        word = data[start:stop]
        known = self.recent.long_words.get(word)
        if known is None:
            self.make_room()
            known = self.older.long_words.get(word)
            if known is None:
                known = self.remember(<const byte*> data + start, stop - start)
            else:
                known = self.move(known)
            self.recent.long_words[word] = known
        return known

    cdef u64 move(self, u64 value) except *:
        """Return the value in the first memory of a word that the second one has."""
        cdef u64 place = self.recent.ids.size()
        cdef int* ids = self.older.ids.data() + (value >> 8)
        if value & 255 == 1:
            return value
        self.recent.ids.insert(self.recent.ids.end(), ids, ids + (value & 255))
        return place << 8 | (value & 255)

    cdef u64 remember(self, const byte* word, Py_ssize_t size) except *:
        """Merge a word and keep its ids; return its value."""
        cdef u64 place = self.recent.ids.size()
        self.merge_word(word, size)
        if self.ids.size() == 1:
            return <u64> self.ids[0] << 8 | 1
        self.recent.ids.insert(self.recent.ids.end(), self.ids.begin(), self.ids.end())
        return place << 8 | self.ids.size()

    cdef inline Merge* merge_of(self, i64 pair) noexcept nogil:
        cdef u64 place = <u64> pair * <u64> 0x9E3779B97F4A7C15
        place = (place >> 32) & self.merges_mask
        while self.merges[place].pair != -1 and self.merges[place].pair != pair:
            place = (place + 1) & self.merges_mask
        return &self.merges[place]

    cdef inline int rank(self, int left, int right) noexcept nogil:
        return self.merge_of(<i64> left << 32 | right).rank

    cdef void merge_word(self, const byte* word, Py_ssize_t size) except *:
        """Leave the ids of a word in ``self.ids``."""
        cdef int ranks[PLAIN]
        cdef Py_ssize_t i, best
        cdef int* ids
        if self.whole_words is not None:
            whole = self.whole_words.get(word[:size])
            if whole is not None:
                self.ids.assign(1, whole)
                return
        self.ids.resize(size)
        ids = self.ids.data()
        if self.char_ids.shape[0]:
            size = self.characters(word, size)
        else:
            for i in range(size):
                ids[i] = self.byte_ids[word[i]]
        if size > PLAIN:
            self.merge_long_word(size)
            return
        for i in range(size - 1):
            ranks[i] = self.rank(ids[i], ids[i + 1])
        while size > 1:
            best = 0
            for i in range(1, size - 1):
                if ranks[i] < ranks[best]:
                    best = i
            if ranks[best] == NEVER:
                break
            ids[best] = self.merged[ranks[best]]
            size -= 1
            for i in range(best + 1, size):
                ids[i] = ids[i + 1]
                ranks[i - 1] = ranks[i]
            if best:
                ranks[best - 1] = self.rank(ids[best - 1], ids[best])
            if best + 1 < size:
                ranks[best] = self.rank(ids[best], ids[best + 1])
        self.ids.resize(size)

    cdef Py_ssize_t characters(self, const byte* word, Py_ssize_t size) noexcept nogil:
        """Write the ids of a word's characters, and of the bytes of others; return how many."""
        cdef Py_ssize_t i = 0, k, length, n = 0
        cdef unsigned int code
        cdef int* ids = self.ids.data()
        while i < size:
            length = 1
            if 0xC0 <= word[i] < 0xFF:
                length = 2 + (word[i] >= 0xE0) + (word[i] >= 0xF0)
            code = word[i] if length == 1 else word[i] & (0x7F >> length)
            for k in range(1, length):
                code = code << 6 | (word[i + k] & 0x3F)
            if word[i] != 0xFF and self.char_ids[code] >= 0:
                ids[n] = self.char_ids[code]
                n += 1
            else:
                for k in range(length):
                    ids[n] = self.byte_ids[word[i + k]]
                    n += 1
            i += length
        return n

    cdef void merge_long_word(self, Py_ssize_t n) except *:
        """Merge with a heap and links, O(n log n), as ``readable.merging._merge_long_word``."""
        cdef vector[int] before, after
        cdef vector[u64] heap  # rank * 2**32 + place of the left symbol
        cdef Py_ssize_t i, n_left = 0
        cdef int place, taken, previous, following
        cdef u64 top
        cdef int* ids = self.ids.data()
        before.resize(n)
        after.resize(n)
        for i in range(n):
            before[i], after[i] = <int> i - 1, <int> i + 1
            if i + 1 < n:
                push(&heap, <int> i, self.rank(ids[i], ids[i + 1]))
        while heap.size():
            top = pop(&heap)
            place = <int> (top & 0xFFFFFFFF)
            taken = after[place]
            if taken == n or ids[place] < 0 or self.rank(ids[place], ids[taken]) != <int> (top >> 32):
                continue  # an earlier merge took one of the two
            ids[place], ids[taken] = self.merged[top >> 32], -1
            previous, following = before[place], after[taken]
            after[place] = following
            if following < n:
                before[following] = place
                push(&heap, place, self.rank(ids[place], ids[following]))
            if previous >= 0:
                push(&heap, previous, self.rank(ids[previous], ids[place]))
        for i in range(n):
            if ids[i] >= 0:
                ids[n_left] = ids[i]
                n_left += 1
        self.ids.resize(n_left)
