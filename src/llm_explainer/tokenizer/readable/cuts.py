r"""Where may a text be cut, so that both parts together have the words of the whole?

This is the only rule, for whoever works on text block by block. It holds for the patterns that have
a name, and for characters and words as tokens. A word begins, whatever stands before and after,

- at a blank behind anything that is not white: ``one| two``;
- behind the only end of line between two such things: ``one\n|two``;
- at a comma behind a letter or digit of ASCII: ``one|,two``;
- in bytes also at FF, which stands for a special token and occurs nowhere else in UTF-8.

Among several white characters the patterns look ahead, so a cut there would change the words.

The rule for bytes is that for text, written for UTF-8: they find the same places, also where bytes
end in the middle of a character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import AnyStr

WHITE = "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B)))
WHITE += "\u2028\u2029\u202f\u205f\u3000"
"""All white space: what ``regex`` takes for it, and Python alone (1C to 1F)."""

_SIGNS = " \n,"  # that the rule looks for
_NEAR, _FAR = 1 << 5, 1 << 12  # how far from its end a text is searched at first, and then


def _rule_for_text() -> re.Pattern[str]:
    ink = f"[^{WHITE}]"
    return re.compile(
        rf"(?= )(?<={ink})"  # a blank behind ink
        rf"|(?<={ink}\n)(?={ink})"  # one end of line between ink
        r"|(?=,)(?<=[0-9A-Za-z])"
    )


def _rule_for_bytes() -> re.Pattern[bytes]:
    white = [character.encode() for character in WHITE]  # of 1, 2 or 3 bytes
    halves = sorted({code[:size] for code in white for size in range(1, len(code))})
    ascii_ink = b"[^%b]" % b"".join(code for code in white if len(code) == 1)
    behind, behind_line = b"(?<=%b)" % ascii_ink, b"(?<=%b\n)" % ascii_ink
    for size in (2, 3):  # `re` looks back at alternatives of one size only
        codes = b"|".join(code for code in white if len(code) == size)
        behind += b"(?<!%b)" % codes
        behind_line += b"(?<!(?:%b)\n)" % codes
    before = rb"(?=[\x00-\xff])(?!%b|(?:%b)\Z)" % (b"|".join(white), b"|".join(halves))
    return re.compile(
        rb"(?= )%b|%b%b|(?=,)(?<=[0-9A-Za-z])|(?=\xff)" % (behind, behind_line, before)
    )


IN_TEXT = _rule_for_text()
"""Finds every place in a text."""

IN_BYTES = _rule_for_bytes()
"""Finds every place in UTF-8."""


def last_cut(text: str) -> int:
    """Return the last place where a text that begins with a word can be cut, 0 if there is none.

    ``"one two, three"`` -> 8.
    """
    return _last(IN_TEXT, text)


def last_cut_between_lines(text: str) -> int:
    """Return the last such place between two lines.

    ``"one\\ntwo, three"`` -> 4.
    """
    end = len(text)
    while (end := text.rfind("\n", 1, end)) > 0:
        if IN_TEXT.match(text, end + 1):
            return end + 1
    return 0


def last_cut_in_bytes(data: bytes) -> int:
    """Return what ``last_cut`` does for UTF-8, which may end in the middle of a character."""
    return _last(IN_BYTES, data)


def next_cut(data: bytes, start: int) -> int:
    """Return the first place from ``start`` on, 1 or more, where UTF-8 can be cut, or its end."""
    match = IN_BYTES.search(data, start) if start < len(data) else None
    return match.start() if match else len(data)


def leaves_whole(special_tokens: Iterable[str]) -> bool:
    """Return whether none of the names has a place in it where a text can be cut."""
    return not any(sign in name for name in special_tokens for sign in _SIGNS)


def last_cut_behind(special_tokens: Iterable[str]) -> Callable[[bytes], int]:
    """Return what finds the place behind the last special token in UTF-8, 0 if there is none.

    With a pattern of one's own it is the only place that is sure: no word reaches across one.
    """
    encoded = sorted((name.encode() for name in special_tokens), key=len, reverse=True)
    if not encoded:
        return lambda _: 0
    pattern = re.compile(b"|".join(map(re.escape, encoded)))
    longest = len(encoded[0])

    def last_cut(data: bytes) -> int:
        cut = 0
        for match in pattern.finditer(data):
            if match.start() + longest <= len(data):  # or more text may make it a longer one
                cut = match.end()
        return cut

    return last_cut


def _last(rule: re.Pattern[AnyStr], text: AnyStr) -> int:
    """Return the last place behind the first character that a rule finds, 0 if there is none."""
    for place in range(len(text) - 1, max(0, len(text) - _NEAR), -1):
        if rule.match(text, place):
            return place
    for start in (max(1, len(text) - _FAR), 1):
        cut = 0
        for match in rule.finditer(text, start):
            cut = match.start()
        if cut:
            return cut
    return 0
