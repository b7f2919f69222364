"""The merges to come of a long word, the first of them on top; all of it is inlined in encoding.pyx.

An entry is the merge's rank times 2**32, plus the place of its left symbol: one number, in the
order of both.
"""

from libcpp.vector cimport vector

ctypedef unsigned long long u64

cdef enum:
    NEVER = 0x7FFFFFFF  # the rank of a pair that is not merged


cdef inline void push(vector[u64]* heap, int place, int rank) except *:
    """Add a merge, if it is one."""
    if rank == NEVER:
        return
    cdef u64 entry = <u64> rank << 32 | <u64> place
    cdef size_t child = heap.size(), parent
    heap.push_back(entry)
    while child:
        parent = (child - 1) // 2
        if heap[0][parent] <= entry:
            break
        heap[0][child] = heap[0][parent]
        child = parent
    heap[0][child] = entry


cdef inline u64 pop(vector[u64]* heap) noexcept nogil:
    """Take the first merge off."""
    cdef u64 top = heap[0][0], last = heap.back()
    cdef size_t parent = 0, child
    heap.pop_back()
    while True:
        child = 2 * parent + 1
        if child >= heap.size():
            break
        if child + 1 < heap.size() and heap[0][child + 1] < heap[0][child]:
            child += 1
        if heap[0][child] >= last:
            break
        heap[0][parent] = heap[0][child]
        parent = child
    if heap.size():
        heap[0][parent] = last
    return top
