"""What training.pyx works on."""

from libcpp.vector cimport vector

ctypedef unsigned char byte
ctypedef unsigned long long u64
ctypedef long long i64

cdef enum:
    BORDER = -1  # between two words
    GONE = -2  # a place inside a symbol

cdef struct Place:
    int symbol
    int first  # at a symbol's last place: its first
    i64 weight  # how often the word occurs

cdef struct Pair:
    int left
    int right
    i64 count
    i64 due  # the count that the heap has it under
    i64 start  # of its places among all occurrences
    i64 n_places

cdef struct Slot:
    i64 key  # left symbol * 2**32 + right symbol; -1 where there is none
    int number

cdef struct Change:  # of the pairs with one neighbour, in the course of one merge
    i64 lost
    i64 gained
    i64 n_events
    int number  # of the new pair, -1 where it is too rare

cdef struct Event:  # a new pair somewhere
    int place
    int neighbour
    bint on_left


cdef inline void note(
    vector[Change]* changes, vector[int]* neighbours, int symbol, i64 lost, i64 gained
) except *:
    """Write down what one merge does to the pair with a neighbour, and to the new one."""
    cdef Change* change = &changes[0][symbol]
    if not change.n_events:
        neighbours.push_back(symbol)
    change.lost += lost
    change.gained += gained
    change.n_events += 1
