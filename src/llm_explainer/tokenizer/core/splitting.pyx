# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
"""Cutting UTF-8 into words, one character after the other: `regex` without the generality.

Each function says where the word that begins at a place ends, alternative by alternative in the
order of its pattern (patterns.py). The byte 0xFF, which UTF-8 never has, stands for a special token
and is a word of its own.
"""

import numpy as np

ctypedef unsigned char byte

cdef enum:  # as in fast/character_classes.py
    LETTER = 0
    NUMBER = 1
    OTHER = 2
    SPACE = 3
    SPECIAL = 4

cdef struct Text:
    const byte* at
    Py_ssize_t size
    const byte* classes
    int digits  # at most so many in a word; see fast/rules.py
    bint cuts_digits  # before white space is looked at


def word_ends(bytes data, const byte[::1] classes, bint as_gpt4, int digits):
    """Return the end of every word (n_words,), in bytes, as int32; see splitting.pyi."""
    cdef Text text
    text.at, text.size, text.classes, text.digits = data, len(data), &classes[0], digits
    text.cuts_digits = digits and not as_gpt4
    ends = np.empty(text.size, np.int32)  # one a byte at most; pages never written cost nothing
    cdef int[::1] ends_view = ends
    cdef Py_ssize_t place = 0, n_words = 0
    with nogil:
        while place < text.size:
            place = gpt4_word_end(&text, place) if as_gpt4 else gpt2_word_end(&text, place)
            ends_view[n_words] = <int> place
            n_words += 1
    return ends[:n_words]


cdef inline int class_at(const Text* text, Py_ssize_t i, Py_ssize_t* after) noexcept nogil:
    """Return the class of the character at i, and where the next one begins."""
    cdef const byte* s = text.at + i
    cdef unsigned int code
    if s[0] < 0x80:
        after[0] = i + 1
        return text.classes[s[0]]
    if s[0] == 0xFF:
        after[0] = i + 1
        return SPECIAL
    if s[0] < 0xE0:
        after[0] = i + 2
        code = (s[0] & 0x1F) << 6 | (s[1] & 0x3F)
    elif s[0] < 0xF0:
        after[0] = i + 3
        code = (s[0] & 0x0F) << 12 | (s[1] & 0x3F) << 6 | (s[2] & 0x3F)
    else:
        after[0] = i + 4
        code = (s[0] & 0x07) << 18 | (s[1] & 0x3F) << 12 | (s[2] & 0x3F) << 6 | (s[3] & 0x3F)
    return text.classes[code]


cdef inline Py_ssize_t run_end(const Text* text, Py_ssize_t i, int kind) noexcept nogil:
    """Return where the characters of one class that begin at i end."""
    cdef Py_ssize_t after
    while i < text.size and class_at(text, i, &after) == kind:
        i = after
    return i


cdef inline Py_ssize_t contraction_end(const Text* text, Py_ssize_t i, byte fold) noexcept nogil:
    """Return the end of 's, 'll and so on at i, or i; ``fold`` 0x20 ignores case, 0 does not."""
    cdef const byte* s = text.at + i
    cdef byte first, second
    if s[0] != 39 or i + 1 >= text.size:
        return i
    first = s[1] | fold
    if first == c"s" or first == c"d" or first == c"m" or first == c"t":
        return i + 2
    if i + 2 >= text.size:
        return i
    second = s[2] | fold
    if (
        (first == c"l" and second == c"l")
        or (first == c"v" and second == c"e")
        or (first == c"r" and second == c"e")
        or (fold and s[1] == 0xC5 and s[2] == 0xBF)  # U+017F, the long s, whose capital is S
    ):
        return i + 3
    return i


cdef inline Py_ssize_t gpt2_word_end(const Text* text, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t after, last, place = contraction_end(text, i, 0)
    cdef int kind
    if place > i:
        return place
    if text.at[i] == 32 and i + 1 < text.size:
        kind = class_at(text, i + 1, &after)
        if kind == NUMBER and text.cuts_digits:
            kind = SPACE  # that keeps the blank
    else:
        kind = class_at(text, i, &after)
        if kind == NUMBER and text.cuts_digits:
            return digits_end(text, after)
    if kind == SPECIAL:
        return i + 1
    if kind != SPACE:  # this character, or the one after a space, begins a run
        return run_end(text, after, kind)
    last = place = i  # `last` is where the last character of white space begins
    while place < text.size and class_at(text, place, &after) == SPACE:
        last, place = place, after
    return place if is_border(text, place) or last == i else last


cdef inline bint is_border(const Text* text, Py_ssize_t place) noexcept nogil:
    """Return whether nothing follows that white space would leave its last character to."""
    cdef Py_ssize_t after
    if place == text.size or text.at[place] == 0xFF:
        return True
    return text.cuts_digits and class_at(text, place, &after) == NUMBER


cdef inline Py_ssize_t digits_end(const Text* text, Py_ssize_t place) noexcept nogil:
    """Return the end of a word of digits, the first of which ends at a place."""
    cdef Py_ssize_t after
    cdef int count = 1
    while count < text.digits and place < text.size and class_at(text, place, &after) == NUMBER:
        place, count = after, count + 1
    return place


cdef inline Py_ssize_t gpt4_word_end(const Text* text, Py_ssize_t i) noexcept nogil:
    cdef Py_ssize_t first_after, after, last, newline_end, place = contraction_end(text, i, 0x20)
    cdef int kind, following
    if place > i:
        return place
    kind = class_at(text, i, &first_after)
    if kind == SPECIAL:
        return first_after
    if kind == LETTER:
        return run_end(text, first_after, LETTER)
    if kind == NUMBER:
        return digits_end(text, first_after)
    following = class_at(text, first_after, &after) if first_after < text.size else SPECIAL
    if following == LETTER and not is_newline(text.at[i]):
        return run_end(text, after, LETTER)
    if kind == OTHER or (text.at[i] == 32 and following == OTHER):
        place = run_end(text, first_after, OTHER)
        while place < text.size and is_newline(text.at[place]):
            place += 1
        return place
    newline_end = last = place = i
    while place < text.size and class_at(text, place, &after) == SPACE:
        last, place = place, after
        if is_newline(text.at[last]):
            newline_end = place
    if newline_end > i:
        return newline_end
    return place if is_border(text, place) or last == i else last


cdef inline bint is_newline(byte character) noexcept nogil:
    return character == 10 or character == 13
