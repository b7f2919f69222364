"""A dict for NumPy: numbers for 128-bit keys, looked up and added thousands at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]  # (n,)
Numbers = NDArray[np.int32]  # (n,)

_MULTIPLIERS = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
_SHIFT, _UPPER_HALF = np.uint64(29), np.uint64(32)


class KeyTable:
    """Gives keys the numbers 0, 1, 2, ... in the order in which they are added.

    A key is two 64-bit numbers, ``low`` and ``high``, of which ``high`` is not 0. Open addressing:
    a key's hash says where its number is, or else it is in one of the next places. All keys of a
    call take their first step together, those that missed the second, and so on.
    """

    def __init__(self) -> None:
        self._n = 1  # entry 0 is none: it stands in every empty slot
        self._low = np.zeros(1 << 10, np.uint64)
        self._high = np.zeros(1 << 10, np.uint64)
        self._slots = np.zeros(1 << 11, np.int32)

    def __len__(self) -> int:
        return self._n - 1

    def keys(self, start: int = 0) -> tuple[Keys, Keys]:
        """Return the keys from a number on, by number."""
        return self._low[start + 1 : self._n], self._high[start + 1 : self._n]

    def find(self, low: Keys, high: Keys) -> Numbers:
        """Return the number of every key (n,), -1 where there is none."""
        places = self._first_places(low, high)
        entries = self._slots[places]
        missed = np.flatnonzero((self._low[entries] != low) | (self._high[entries] != high))
        missed = missed[entries[missed] > 0]  # an empty slot: the key is not in the table
        while missed.size:
            places[missed] = self._next(places[missed])
            entry = self._slots[places[missed]]
            entries[missed] = entry
            other = (self._low[entry] != low[missed]) | (self._high[entry] != high[missed])
            missed = missed[other & (entry > 0)]
        return entries - np.int32(1)

    def find_or_add(self, low: Keys, high: Keys) -> Numbers:
        """Return the number of every key (n,); what is new is added once, at the end."""
        numbers = self.find(low, high)
        new = np.flatnonzero(numbers < 0)
        if new.size:
            new = new[np.lexsort((low[new], high[new]))]  # equal ones side by side
            differs = np.ones(len(new), np.bool_)
            differs[1:] = (low[new[1:]] != low[new[:-1]]) | (high[new[1:]] != high[new[:-1]])
            numbers[new] = len(self) + np.cumsum(differs) - 1
            self.add(low[new[differs]], high[new[differs]])
        return numbers

    def add(self, low: Keys, high: Keys) -> None:
        """Add keys that differ from each other and from all in the table."""
        start, self._n = self._n, self._n + len(low)
        self._low = _with_room(self._low, self._n)
        self._high = _with_room(self._high, self._n)
        self._low[start : self._n], self._high[start : self._n] = low, high
        if 2 * self._n > len(self._slots):  # at most half full, or searches get long
            start = 1
            n_slots = len(self._slots)
            while 4 * self._n > n_slots:
                n_slots *= 2
            self._slots = np.zeros(n_slots, np.int32)
        self._place(np.arange(start, self._n, dtype=np.int32))

    def _place(self, entries: Numbers) -> None:
        places = self._first_places(self._low[entries], self._high[entries])
        while entries.size:
            empty = np.flatnonzero(self._slots[places] == 0)
            self._slots[places[empty]] = entries[empty]  # of several for one slot, one stays
            lost = self._slots[places] != entries
            entries, places = entries[lost], self._next(places[lost])

    def _first_places(self, low: Keys, high: Keys) -> NDArray[np.int64]:
        mixed = (low * _MULTIPLIERS[0]) ^ (high * _MULTIPLIERS[1])
        mixed ^= mixed >> _SHIFT
        mixed *= _MULTIPLIERS[0]
        mixed >>= _UPPER_HALF
        mixed &= np.uint64(len(self._slots) - 1)
        return mixed.view(np.int64)

    def _next(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.bitwise_and(places + 1, len(self._slots) - 1, dtype=np.int64)


def _with_room(array: Keys, n: int) -> Keys:
    """Return the array with room for ``n`` entries, twice as long where it must grow."""
    if n <= len(array):
        return array
    return np.concatenate([array, np.zeros(max(n, 2 * len(array)) - len(array), array.dtype)])
