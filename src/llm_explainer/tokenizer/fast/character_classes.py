"""The class of every character: all that the patterns with a name look at.

GPT-2's and GPT-4's patterns ask of a character only whether it is a letter, a number, white space,
or something else (and, in a few places, which it is). One byte for each of the 1,114,112 code
points answers that with a single look-up, for all the characters of a text together.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import regex  # type: ignore[import-untyped]
from numpy.typing import NDArray

LETTER, NUMBER, OTHER, SPACE, SPECIAL = range(5)

SPECIAL_BYTE = b"\xff"
"""Stands for a special token in bytes that are otherwise UTF-8, where it never occurs."""

_SURROGATE_OF_SPECIAL = 0xDCFF  # what Python's "surrogateescape" makes of that byte


@cache
def character_classes() -> NDArray[np.uint8]:
    """Return the class of every code point (0x110000,).

    It is what ``regex`` says, so that both follow the same version of Unicode.
    """
    code_points = np.arange(0x110000, dtype="<u4")
    code_points[0xD800:0xE000] = 0  # surrogates are no characters
    text = code_points.tobytes().decode("utf-32-le")
    classes = np.full(0x110000, OTHER, np.uint8)
    for expression, kind in ((r"\p{L}+", LETTER), (r"\p{N}+", NUMBER), (r"\s+", SPACE)):
        for match in regex.finditer(expression, text):
            classes[match.start() : match.end()] = kind
    classes[_SURROGATE_OF_SPECIAL] = SPECIAL
    return classes


@cache
def ascii_classes() -> bytes:
    """Return the classes of the ASCII characters, as ``bytes.translate`` takes them."""
    return character_classes()[:128].tobytes() + bytes(128)
