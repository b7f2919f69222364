# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# distutils: language = c++
"""Learning merges as readable/training.py does, on plain arrays.

A symbol knows how many bytes it stands for, so the right neighbour of the symbol at place i is at
i + size; and its last place knows its first, so the left neighbour of i is found at i - 1.
"""

from libcpp.vector cimport vector


cdef class Learner:
    """Words cut into symbols, pairs counted, and the most frequent pair on top of a heap."""

    cdef vector[Place] places
    cdef vector[Pair] pairs
    cdef vector[int] occurrences, heap
    cdef vector[Slot] slots  # from the two symbols of a pair to its number: open addressing
    cdef u64 mask
    cdef vector[byte] token_bytes
    cdef vector[i64] token_starts
    cdef vector[u64] prefixes  # the first eight bytes of a token, as one number
    cdef vector[int] order  # of symbols, where ids decide ties
    cdef vector[Change] on_left, on_right  # of a neighbour, by its symbol
    cdef vector[int] left_neighbours, right_neighbours  # whose changes are not zero
    cdef vector[Event] events
    cdef bint ties_by_bytes
    cdef i64 min_frequency

    def __init__(self, order, i64 min_frequency):
        cdef int symbol
        self.ties_by_bytes = order is None
        self.min_frequency = min_frequency
        self.token_starts.push_back(0)
        for symbol in range(256):
            self.order.push_back(symbol if order is None else order[symbol])
            self.token_bytes.push_back(<byte> symbol)
            self.end_token()
        self.resize_slots(1 << 17)

    def load(self, const byte[::1] words, const i64[::1] sizes, const i64[::1] counts):
        """Take the words, one after the other in ``words``, and count their pairs."""
        cdef i64 i, j, start = 0, place = 1
        cdef Place empty
        empty.symbol, empty.first, empty.weight = BORDER, BORDER, 0
        self.places.assign(words.shape[0] + sizes.shape[0] + 1, empty)
        cdef vector[i64] totals, numbers
        totals.assign(65536, 0)
        numbers.assign(65536, 0)
        for i in range(sizes.shape[0]):
            for j in range(start, start + sizes[i]):
                self.places[place] = Place(words[j], <int> place, counts[i])
                place += 1
                if j + 1 < start + sizes[i]:
                    totals[words[j] << 8 | words[j + 1]] += counts[i]
                    numbers[words[j] << 8 | words[j + 1]] += 1
            start += sizes[i]
            place += 1
        cdef vector[int] pair_of
        pair_of.assign(65536, -1)
        for i in range(65536):
            if totals[i] >= self.min_frequency:
                pair_of[i] = self.add_pair(<int> (i >> 8), <int> (i & 255), totals[i], numbers[i])
        for i in range(1, <i64> self.places.size() - 1):
            if self.places[i].symbol >= 0 and self.places[i + 1].symbol >= 0:
                j = pair_of[self.places[i].symbol << 8 | self.places[i + 1].symbol]
                if j >= 0:
                    self.add_occurrence(j, <int> i)

    def learn(self, int n_merges, progress):
        """Return the merges as a list of pairs of symbols, in the order of learning."""
        merges = []
        cdef int number, new = 256
        cdef Pair pair
        while self.heap.size() and len(merges) < n_merges:
            number = self.heap[0]
            pair = self.pairs[number]
            if pair.count != pair.due:  # it lost some occurrences; the heap was not told
                self.pairs[number].due = pair.count
                if pair.count < self.min_frequency:
                    self.drop_top()
                else:
                    self.sink(0)
                continue
            self.drop_top()
            merges.append((pair.left, pair.right))
            self.append_token(pair.left, pair.right)
            self.merge(number, new)
            new += 1
            if progress is not None and (len(merges) % 64 == 0 or len(merges) == n_merges):
                progress("merging", len(merges), n_merges)
        return merges

    cdef void merge(self, int number, int new) except *:
        """Join every occurrence of a pair into the symbol ``new``.

        The counts of neighbours are gathered by symbol in plain arrays, and the pairs looked up
        only once each, at the end.
        """
        cdef Pair pair = self.pairs[number]
        cdef int a = pair.left, b = pair.right, i, j, x, y
        cdef i64 k, weight, weight_lost, size_a = self.token_size(a), size_b = self.token_size(b)
        cdef Place* places = self.places.data()
        self.events.clear()
        for k in range(pair.start, pair.start + pair.n_places):
            i = self.occurrences[k]
            j = <int> (i + size_a)
            if places[i].symbol != a or places[j].symbol != b:
                continue  # a merge since then has taken one of the two
            weight = places[i].weight
            places[i].symbol, places[j].symbol = new, GONE
            places[j + size_b - 1].first = i
            if places[i - 1].first != BORDER:
                x = places[places[i - 1].first].symbol
                if x == new:  # it was (new, a) after the last merge, and is (new, new) now
                    self.on_right[a].gained -= weight
                    weight_lost = 0
                else:
                    weight_lost = weight
                note(&self.on_left, &self.left_neighbours, x, weight_lost, weight)
                self.events.push_back(Event(places[i - 1].first, x, True))
            y = places[j + size_b].symbol
            if y != BORDER:
                note(&self.on_right, &self.right_neighbours, y, weight, weight)
                self.events.push_back(Event(i, y, False))
        self.settle(a, b, new)
        self.pairs[number].count = 0

    cdef void settle(self, int a, int b, int new) except *:
        """Carry the changes over to the pairs, and list where the new ones stand."""
        cdef Change* change
        cdef Slot* slot
        cdef int number
        for x in self.left_neighbours:
            change = &self.on_left[x]
            slot = self.slot_of(x, a)
            if slot.key != -1:
                self.pairs[slot.number].count -= change.lost
            change.number = self.add_pair(x, new, change.gained, change.n_events)
        for y in self.right_neighbours:
            change = &self.on_right[y]
            slot = self.slot_of(b, y)
            if slot.key != -1:
                self.pairs[slot.number].count -= change.lost
            change.number = self.add_pair(new, y, change.gained, change.n_events)
        for event in self.events:
            if event.on_left:
                number = self.on_left[event.neighbour].number
            else:
                number = self.on_right[event.neighbour].number
            if number >= 0:
                self.add_occurrence(number, event.place)
        for x in self.left_neighbours:
            self.on_left[x] = Change(0, 0, 0, -1)
        for y in self.right_neighbours:
            self.on_right[y] = Change(0, 0, 0, -1)
        self.left_neighbours.clear()
        self.right_neighbours.clear()

    cdef int add_pair(self, int left, int right, i64 count, i64 n_places) except -2:
        """Return the number of a new pair; -1 where it is too rare ever to be merged.

        Counts only fall, so such a pair needs no memory at all.
        """
        cdef Slot* slot
        cdef int number = <int> self.pairs.size()
        cdef i64 start = self.occurrences.size()
        if count < self.min_frequency:
            return -1
        if 2 * self.pairs.size() >= self.slots.size():
            self.resize_slots(4 * self.slots.size())
        self.pairs.push_back(Pair(left, right, count, count, start, 0))
        self.occurrences.resize(start + n_places)
        slot = self.slot_of(left, right)
        slot.key, slot.number = <i64> left << 32 | right, number
        self.heap.push_back(number)
        self.rise(self.heap.size() - 1)
        return number

    cdef inline void add_occurrence(self, int number, int place) noexcept nogil:
        cdef Pair* pair = &self.pairs[number]
        self.occurrences[pair.start + pair.n_places] = place
        pair.n_places += 1

    cdef void resize_slots(self, size_t n_slots) except *:
        cdef Slot* slot
        cdef int number
        cdef i64 key
        self.slots.assign(n_slots, Slot(-1, 0))
        self.mask = n_slots - 1
        for number in range(<int> self.pairs.size()):
            slot = self.slot_of(self.pairs[number].left, self.pairs[number].right)
            key = <i64> self.pairs[number].left << 32 | self.pairs[number].right
            slot.key, slot.number = key, number

    cdef inline Slot* slot_of(self, int left, int right) noexcept nogil:
        cdef i64 key = <i64> left << 32 | right
        cdef u64 place = <u64> key * <u64> 0x9E3779B97F4A7C15
        place = (place >> 32) & self.mask
        while self.slots[place].key != -1 and self.slots[place].key != key:
            place = (place + 1) & self.mask
        return &self.slots[place]

    cdef void append_token(self, int left, int right) except *:
        """Write the bytes of a new symbol after those of the others."""
        cdef i64 i
        for part in (left, right):
            for i in range(self.token_starts[part], self.token_starts[part + 1]):
                self.token_bytes.push_back(self.token_bytes[i])
        self.end_token()

    cdef void end_token(self) except *:
        cdef int shift, symbol = <int> self.token_starts.size() - 1
        cdef i64 i, start = self.token_starts[symbol]
        cdef u64 prefix = 0
        for i in range(8):
            prefix <<= 8
            if start + i < <i64> self.token_bytes.size():
                prefix |= self.token_bytes[start + i]
        self.prefixes.push_back(prefix)
        self.token_starts.push_back(self.token_bytes.size())
        self.on_left.push_back(Change(0, 0, 0, -1))
        self.on_right.push_back(Change(0, 0, 0, -1))
        if symbol > 255:
            self.order.push_back(symbol)

    cdef inline i64 token_size(self, int symbol) noexcept nogil:
        return self.token_starts[symbol + 1] - self.token_starts[symbol]

    cdef inline bint wins(self, int number, int other) noexcept nogil:
        """Return whether a pair is merged before another."""
        cdef Pair* p = &self.pairs[number]
        cdef Pair* q = &self.pairs[other]
        if p.due != q.due:
            return p.due > q.due
        if p.left != q.left:
            return self.symbol_wins(p.left, q.left)
        return p.right != q.right and self.symbol_wins(p.right, q.right)

    cdef bint symbol_wins(self, int x, int y) noexcept nogil:
        """Return whether the bytes of x are greater than those of y, or its id is lower."""
        cdef i64 i, shared
        if not self.ties_by_bytes:
            return self.order[x] < self.order[y]
        if self.prefixes[x] != self.prefixes[y]:
            return self.prefixes[x] > self.prefixes[y]
        shared = min(self.token_size(x), self.token_size(y))
        for i in range(shared):
            if self.token_bytes[self.token_starts[x] + i] != self.token_bytes[self.token_starts[y] + i]:
                return (
                    self.token_bytes[self.token_starts[x] + i]
                    > self.token_bytes[self.token_starts[y] + i]
                )
        return self.token_size(x) > self.token_size(y)

    cdef void drop_top(self) except *:
        self.heap[0] = self.heap.back()
        self.heap.pop_back()
        if self.heap.size():
            self.sink(0)

    cdef void rise(self, size_t child) noexcept nogil:
        cdef int number = self.heap[child]
        cdef size_t parent
        while child:
            parent = (child - 1) // 2
            if not self.wins(number, self.heap[parent]):
                break
            self.heap[child] = self.heap[parent]
            child = parent
        self.heap[child] = number

    cdef void sink(self, size_t parent) noexcept nogil:
        cdef int number = self.heap[parent]
        cdef size_t child
        while True:
            child = 2 * parent + 1
            if child >= self.heap.size():
                break
            if child + 1 < self.heap.size() and self.wins(self.heap[child + 1], self.heap[child]):
                child += 1
            if not self.wins(self.heap[child], number):
                break
            self.heap[parent] = self.heap[child]
            parent = child
        self.heap[parent] = number
