"""The table of words that counting.pyx and encoding.pyx share; all of it is inlined there.

A word of up to 15 bytes is two 64-bit numbers, its length in the top byte of the second, so finding
it compares no text and follows no pointer. Longer words, of which there are few, are in a dict.
"""

from libc.string cimport memcpy
from libcpp.vector cimport vector

ctypedef unsigned char byte
ctypedef unsigned long long u64
ctypedef long long i64

cdef enum:
    PACKED = 15  # bytes of the longest word in the table
    FIRST_SLOTS = 16384

cdef struct Slot:
    u64 low  # bytes 0 to 7
    u64 high  # bytes 8 to 14, and the length; 0 in an empty slot
    u64 value


cdef inline void make_empty(vector[Slot]* slots, size_t n_slots) except *:
    """Give a table ``n_slots`` empty slots, a power of two."""
    slots.assign(n_slots, Slot(0, 0, 0))


cdef inline Slot* find_slot(vector[Slot]& slots, u64 low, u64 high) noexcept nogil:
    """Return the slot of a word, or the empty one where it belongs: open addressing."""
    cdef u64 mixed = (low * <u64> 0x9E3779B97F4A7C15) ^ (high * <u64> 0xC2B2AE3D27D4EB4F)
    cdef u64 mask = slots.size() - 1, place
    mixed = (mixed ^ (mixed >> 29)) * <u64> 0x9E3779B97F4A7C15
    place = (mixed >> 32) & mask
    while slots[place].high and (slots[place].low != low or slots[place].high != high):
        place = (place + 1) & mask
    return &slots[place]


cdef inline void double_slots(vector[Slot]* slots) except *:
    """Move a table that is half full to one of twice the size."""
    cdef vector[Slot] old
    cdef size_t i
    old.swap(slots[0])
    make_empty(slots, 2 * old.size())
    for i in range(old.size()):
        if old[i].high:
            find_slot(slots[0], old[i].low, old[i].high)[0] = old[i]


cdef inline void pack(
    const byte* word, Py_ssize_t size, bint roomy, u64* low, u64* high
) noexcept nogil:
    """Write the two numbers of a word; ``roomy`` says that 16 bytes can be read there."""
    cdef u64 halves[2]
    halves[0] = halves[1] = 0
    if roomy:  # two loads and two masks instead of a copy of unknown length
        memcpy(halves, word, 16)
        if size < 8:
            halves[0] &= (<u64> 1 << (8 * size)) - 1
            halves[1] = 0
        else:
            halves[1] &= (<u64> 1 << (8 * (size - 8))) - 1
    else:
        memcpy(halves, word, size)
    low[0], high[0] = halves[0], halves[1] | <u64> size << 56
