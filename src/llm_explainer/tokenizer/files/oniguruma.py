"""Split patterns of other people's ``tokenizer.json``, which are written for Oniguruma.

Ours are read by ``regex``, and where the two dialects differ a text would be cut elsewhere without
a word: ``\\h`` is a hexadecimal digit to one and a blank to the other, ``&&`` intersects two sets
or stands for two signs, ``$`` is the end of a line or of the text. So a pattern is read here
first, and everything that is not known to mean the same in both is refused by name.

What means the same was found by trying: each class on all code points, each escape on all of ASCII.
"""

from __future__ import annotations

import re
import warnings
from typing import NoReturn

from llm_explainer.errors import LLMExplainerWarning, TokenizerError
from llm_explainer.tokenizer.checks import shorten

_CATEGORIES = (
    *("L", "Lu", "Ll", "Lt", "Lm", "Lo", "M", "Mn", "Mc", "Me", "N", "Nd", "Nl", "No"),
    *("P", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm", "Sc", "Sk", "So"),
    *("Z", "Zs", "Zl", "Zp", "Cc", "Han", "Hiragana", "Katakana", "Hangul", "Latin", "Greek"),
    *("Cyrillic", "Arabic", "Hebrew", "Thai", "Devanagari"),
)
_LETTERS = frozenset("sSdDrntfv")  # that mean the same after a backslash
_QUANTIFIER = re.compile(r"[*+?][?+]?|\{\d+\}|\{\d+,\d*\}\??")
_MAY_BE_EMPTY = re.compile(r"[*?][?+]?|\{0+(,\d*)?\}\??")
_GROUP = re.compile(r"\((\?(?P<kind>:|=|!|>|i:))?")
_PROPERTY = re.compile(r"[pP]\{(\w+)\}")
_CODE = re.compile(r"x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}")
_ONE_CASE_FOLD = ("ss", "ff", "fi", "fl", "st")  # which one character is, to Oniguruma


_OURS = "(?#regex)"
"""A comment to both dialects: this pattern was written for ``regex``, by us."""


def as_read(pattern: str) -> str:
    """Return the pattern of a file, which Oniguruma and ``regex`` read alike, or which is ours.

    Raises:
        TokenizerError: names the first thing that they read otherwise, or that is not known here.
    """
    if pattern.startswith(_OURS):
        return pattern.removeprefix(_OURS)
    check_pattern(pattern)
    return pattern


def as_written(pattern: str) -> str:
    """Return one of our patterns for a file; say so if other software may read it otherwise."""
    try:
        check_pattern(pattern)
    except TokenizerError as error:
        warnings.warn(
            f"{error}; other software may cut texts elsewhere", LLMExplainerWarning, stacklevel=2
        )
        return _OURS + pattern
    return pattern


def check_pattern(pattern: str) -> None:
    """Refuse a pattern that Oniguruma and ``regex`` may read otherwise.

    Raises:
        TokenizerError: names the first such thing.
    """
    _Reader(pattern).read()


class _Reader:
    """Reads a pattern from left to right; ``place`` is the next character."""

    def __init__(self, pattern: str) -> None:
        self.pattern, self.place = pattern, 0

    def read(self) -> None:
        if self._alternatives(ignoring_case=False):
            self._refuse("a match of no characters")
        if self.place < len(self.pattern):
            self._refuse("')' without '('")

    def _alternatives(self, ignoring_case: bool) -> bool:
        """Read what stands between two ``|`` or to a ``)``; return whether it may match nothing."""
        may_be_empty, literal = False, ""
        sequence_is_empty = True
        while self.place < len(self.pattern) and self.pattern[self.place] != ")":
            if self.pattern[self.place] == "|":
                self.place += 1
                may_be_empty |= sequence_is_empty
                sequence_is_empty, literal = True, ""
                continue
            start = self.place
            takes_nothing = self._piece(ignoring_case)
            piece = self.pattern[start : self.place]
            literal = literal + piece if len(piece) == 1 else ""
            if ignoring_case and literal.lower().endswith(_ONE_CASE_FOLD):
                self._refuse(f"{literal[-2:]!r} in any case, which other characters are too")
            sequence_is_empty &= takes_nothing
        return may_be_empty or sequence_is_empty

    def _piece(self, ignoring_case: bool) -> bool:
        """Read one character, set or group, and how often; return whether it may match nothing."""
        char = self.pattern[self.place]
        if char == "(":
            may_be_empty = self._group(ignoring_case)
        elif char == "[":
            self._set(ignoring_case)
            may_be_empty = False
        elif char == "\\":
            if ignoring_case:
                self._refuse("an escape where case is ignored")
            self._escape()
            may_be_empty = False
        elif char in "^$*+?{}":
            self._refuse(f"{char!r}")
        else:
            self._check_case(char, ignoring_case)
            self.place += 1
            may_be_empty = False
        if found := _QUANTIFIER.match(self.pattern, self.place):
            self.place = found.end()
            if self.pattern[self.place : self.place + 1] in ("*", "+", "?", "{"):
                self._refuse("a number of times of a number of times")
            may_be_empty |= _MAY_BE_EMPTY.fullmatch(found.group()) is not None
        return may_be_empty

    def _group(self, ignoring_case: bool) -> bool:
        found = _GROUP.match(self.pattern, self.place)
        assert found is not None  # it begins with "("
        self.place = found.end()
        if found["kind"] is None and self.pattern.startswith("?", self.place):
            self._refuse(f"{self.pattern[self.place - 1 : self.place + 3]!r}")
        may_be_empty = self._alternatives(ignoring_case or found["kind"] == "i:")
        if not self.pattern.startswith(")", self.place):
            self._refuse("'(' without ')'")
        self.place += 1
        return may_be_empty or found["kind"] in ("=", "!")

    def _set(self, ignoring_case: bool) -> None:
        self.place += 2 if self.pattern.startswith("[^", self.place) else 1
        if self.pattern.startswith("]", self.place):
            self._refuse("']' as the first of a set")
        first = True
        while not self.pattern.startswith("]", self.place):
            if self.place >= len(self.pattern):
                self._refuse("'[' without ']'")
            if self.pattern.startswith("&&", self.place):
                self._refuse("'&&' in a set")
            is_class = self._member(ignoring_case, first)
            first = False
            if self._begins_range():
                if is_class:
                    self._refuse("a range that begins with a class")
                self.place += 1
                if self._member(ignoring_case, first=False):
                    self._refuse("a range that ends with a class")
                if self._begins_range():
                    self._refuse("a range of a range")
        self.place += 1

    def _begins_range(self) -> bool:
        following = self.pattern[self.place : self.place + 2]
        return following[:1] == "-" and following != "-]"

    def _member(self, ignoring_case: bool, first: bool) -> bool:
        """Read a member of a set; return whether it is a class of characters."""
        char = self.pattern[self.place : self.place + 1]
        if char == "\\":
            if ignoring_case:
                self._refuse("an escape where case is ignored")
            return self._escape()
        if char == "[":
            self._refuse("'[' in a set")
        if char == "-" and not (first or self.pattern[self.place + 1 : self.place + 2] == "]"):
            self._refuse("'-' in the middle of a set")
        self._check_case(char, ignoring_case)
        self.place += 1
        return False

    def _escape(self) -> bool:
        """Read a backslash and what follows; return whether it is a class of characters."""
        char = self.pattern[self.place + 1 : self.place + 2]
        if found := _PROPERTY.match(self.pattern, self.place + 1):
            if found[1] not in _CATEGORIES:
                self._refuse(rf"'\{found.group()}'")
            self.place = found.end()
            return True
        if found := _CODE.match(self.pattern, self.place + 1):
            self.place = found.end()
            return False
        is_sign = char.isascii() and not char.isalnum() and char.isprintable() and char != " "
        if not char or not (is_sign or char in _LETTERS):
            self._refuse(rf"'\{char}'")
        self.place += 2
        return char in "sSdD"

    def _check_case(self, char: str, ignoring_case: bool) -> None:
        if ignoring_case and not (char.isascii() and (char.isalnum() or char == "'")):
            self._refuse(f"{char!r} where case is ignored")

    def _refuse(self, what: str) -> NoReturn:
        raise TokenizerError(
            f"the split pattern {shorten(self.pattern)} has {what} at character {self.place}, "
            "which is not known to mean the same to Python's regex and to Oniguruma"
        )
