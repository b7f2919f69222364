"""Cutting text into words with NumPy: GPT-2's and GPT-4's families as rules about neighbours.

A regular expression walks through a text character by character. The patterns with a name are
simple enough to be turned inside out: whether a word begins at a character depends on its class,
on those of its neighbours, and on a few rarer things that are put right one by one. So a handful of
operations on whole arrays find all words at once, more than ten times as fast as ``regex``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.fast.character_classes import (
    LETTER,
    NUMBER,
    OTHER,
    SPACE,
    SPECIAL,
    ascii_classes,
    character_classes,
)
from llm_explainer.tokenizer.fast.rules import Rule

Bools = NDArray[np.bool_]
Classes = NDArray[np.uint8]  # (n,) of characters
Codes = NDArray[np.uint8] | NDArray[np.uint32]  # (n,) code points

_BLANK, _APOSTROPHE, _LONG_S = 0x20, 0x27, 0x17F
_ONE_LETTER = np.array(list(b"sdmt"))  # of 's, 'd, 'm, 't
_TWO_LETTERS = np.array([256 * first + second for first, second in (b"ll", b"ve", b"re")])


def word_ends(data: bytes, rule: Rule) -> NDArray[np.int32]:
    """Return where every word of ``data`` ends (n_words,), in bytes.

    ``b"It's here"`` -> ``[2, 4, 9]``.

    Args:
        data: UTF-8, at least one byte; 0xFF stands for a special token, and is a word of its own.
        rule: of the pattern.
    """
    if data.isascii():
        codes: Codes = np.frombuffer(data, np.uint8)
        classes = np.frombuffer(data.translate(ascii_classes()), np.uint8)
    else:
        text = data.decode("utf-8", "surrogateescape")
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        classes = character_classes()[codes]
    starts = (_gpt4_starts if rule.as_gpt4 else _gpt2_starts)(codes, classes, rule.digits)
    places = np.flatnonzero(starts)[1:]  # the first word begins at 0, where no other ends
    if len(codes) != len(data):  # from characters to bytes: all but those inside of characters
        places = np.flatnonzero(np.frombuffer(data, np.int8) >= -64)[places]
    return np.append(places, len(data)).astype(np.int32)


def _gpt2_starts(codes: Codes, classes: Classes, digits: int) -> Bools:
    """Return at which characters a word of GPT-2's family begins, (n,)."""
    starts = _run_starts(classes)
    takes_blank = classes < SPACE
    if digits:  # are cut off before white space is looked at
        takes_blank &= classes != NUMBER
    # The last of several white characters begins a word ...
    starts[:-1] |= (classes[:-1] == SPACE) & takes_blank[1:]
    # ... and if it is a blank, what follows belongs to it.
    starts[1:] &= ~((codes[:-1] == _BLANK) & takes_blank[1:])
    if digits:
        _cut_numbers(classes, starts, digits)
    _cut_contractions(codes, codes, starts)
    return starts


def _gpt4_starts(codes: Codes, classes: Classes, digits: int) -> Bools:
    """Return at which characters a word of GPT-4's family begins, (n,)."""
    starts = _run_starts(classes)
    newlines = (codes == 10) | (codes == 13)
    _cut_behind_newlines(newlines, classes, starts)
    starts |= _last_white(classes) & ~newlines
    signs = classes == OTHER
    starts[1:] &= ~((codes[:-1] == _BLANK) & signs[1:])
    # Letters take the one character before them that is no end of line, if it begins a word: one of
    # several signs does not, nor does a sign after a blank.
    leads = starts & (signs | (classes == SPACE)) & ~newlines
    starts[1:] &= ~(leads[:-1] & (classes[1:] == LETTER))
    _cut_numbers(classes, starts, digits)
    # Capitals of ASCII differ from small letters in one bit; the long s is a small s as well.
    small = codes | codes.dtype.type(0x20)
    if codes.itemsize > 1:
        small[codes == _LONG_S] = ord("s")
    _cut_contractions(codes, small, starts)
    return starts


def _run_starts(classes: Classes) -> Bools:
    """Return where characters of one class begin to follow each other; special ones never do."""
    starts = np.ones(len(classes), np.bool_)
    np.not_equal(classes[1:], classes[:-1], out=starts[1:])
    starts |= classes == SPECIAL
    return starts


def _last_white(classes: Classes) -> Bools:
    """Return which white characters stand directly before ordinary text."""
    last = np.zeros(len(classes), np.bool_)
    last[:-1] = (classes[:-1] == SPACE) & (classes[1:] < SPACE)
    return last


def _cut_behind_newlines(newlines: Bools, classes: Classes, starts: Bools) -> None:
    """Put the borders that ends of line make, where there are any, into ``starts``."""
    places = np.flatnonzero(newlines)
    if not places.size:
        return
    new_run = np.diff(places, prepend=-2) != 1
    begins = places[new_run]  # of each run of ends of line
    ends = places[np.append(new_run[1:], True)] + 1
    # A word reaches from the first of several white characters to the last end of line among them.
    run = np.searchsorted(np.flatnonzero(starts & (classes == SPACE)), begins, "right")
    is_last = np.append(run[1:] != run[:-1], True)
    # But right after signs they belong to these, and a word begins behind them.
    after_sign = (begins > 0) & (classes[begins - 1] == OTHER)
    starts[begins[after_sign]] = False
    behind = ends[after_sign | is_last]
    starts[behind[behind < len(starts)]] = True


def _cut_numbers(classes: Classes, starts: Bools, most: int) -> None:
    """Begin a word at every ``most``-th digit of a number."""
    digits = np.flatnonzero(classes == NUMBER)
    if digits.size:
        begins = digits[starts[digits]]
        nth = digits - begins[np.searchsorted(begins, digits, "right") - 1]
        starts[digits[nth % most == 0]] = True


def _cut_contractions(codes: Codes, letters: Codes, starts: Bools) -> None:
    """Make a word of every 's, 'd, 'm, 't, 'll, 've and 're where a word may begin."""
    places = np.flatnonzero((codes[:-1] == _APOSTROPHE) & starts[:-1])
    first = letters[places + 1].astype(np.int64)
    short = np.isin(first, _ONE_LETTER)
    _cut(places[short] + 1, 1, starts)
    inside = ~short & (places + 2 < len(codes))
    places, first = places[inside], first[inside]
    second = letters[places + 2].astype(np.int64)
    both = np.where(second < 256, 256 * first + second, 0)
    _cut(places[np.isin(both, _TWO_LETTERS)] + 1, 2, starts)


def _cut(places: NDArray[np.int64], size: int, starts: Bools) -> None:
    """Begin words behind ``size`` characters instead of before them."""
    starts[places] = False
    behind = places + size
    starts[behind[behind < len(starts)]] = True
