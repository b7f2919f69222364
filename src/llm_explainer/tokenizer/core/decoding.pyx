# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# distutils: language = c++
"""From ids to bytes: token after token is copied to where the one before it ends."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.long cimport PyLong_CheckExact
from cpython.number cimport PyNumber_Index
from libc.string cimport memcpy
from libcpp.vector cimport vector

ctypedef unsigned char byte
ctypedef long long i64


def decode(ids, const byte[::1] tokens, const i64[::1] starts):
    """Return the bytes of a list or an array of ids; see decoding.pyi."""
    cdef vector[i64] known
    cdef i64 token, size = 0, n_tokens = starts.shape[0] - 1
    cdef const i64[::1] array
    cdef Py_ssize_t i
    if isinstance(ids, list):
        known.reserve(len(ids))
        for element in <list> ids:
            if not PyLong_CheckExact(element):
                element = PyNumber_Index(element)  # refuses 1.5, which would become 1
            known.push_back(element)
    else:
        array = ids
        known.assign(&array[0], &array[0] + array.shape[0])
    for i in range(<Py_ssize_t> known.size()):
        token = known[i]
        if token < 0 or token >= n_tokens:
            raise IndexError(token)
        size += starts[token + 1] - starts[token]
    result = PyBytes_FromStringAndSize(NULL, size)
    cdef char* place = PyBytes_AS_STRING(result)
    cdef char* end = place + size
    for i in range(<Py_ssize_t> known.size()):
        token = known[i]
        size = starts[token + 1] - starts[token]
        # Sixteen bytes at once are faster than the few that are wanted; the next token overwrites
        # the rest. ``tokens`` ends with sixteen bytes that nobody wants.
        if size <= 16 and end - place >= 16:
            memcpy(place, &tokens[starts[token]], 16)
        else:
            memcpy(place, &tokens[starts[token]], size)
        place += size
    return result
