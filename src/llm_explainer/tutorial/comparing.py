"""Whether what was printed is what the page shows: words to the letter, numbers to their digits."""

from __future__ import annotations

import platform
import re
import sys

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?(?![\w])")
_MASK = "#"

SAME_DIGITS = sys.platform == "linux" and platform.machine() == "x86_64"
"""Whether this machine is of the kind on which the pages were written.

Others may round a number that lies between two the other way: its last digit may differ by one.
"""


def find_difference(shown: str, printed: str, *, varies: bool = False) -> tuple[int, str] | None:
    """Return the first line, from 0, in which what was printed differs from what is shown, and how.

    White space counts as one blank: another rounding may move columns. With ``varies`` any number
    may stand for another.
    """
    ours, theirs = _lines(shown), _lines(printed)
    for number, (mine, real) in enumerate(zip(ours, theirs, strict=False)):
        if not _same_line(mine, real, varies):
            return number, f"the text says {mine.strip()!r}, and the code prints {real.strip()!r}"
    if len(ours) != len(theirs):
        more = " / ".join(theirs[len(ours) :]) or "nothing more"
        return min(len(ours), len(theirs)), f"the text ends elsewhere; the code prints {more!r}"
    return None


def same_value(shown: str, value: object) -> bool:
    """Return whether a value is what a text shows: words in backticks, or a number's digits.

    >>> same_value("0.67", 2 / 3), same_value("1,280", 1280), same_value("` fox`", " fox")
    (True, True, True)
    """
    if shown.startswith("`"):
        return shown.strip("`") == str(value)
    text = shown.replace(",", "").replace("−", "-").lstrip("+")
    number = float(value)  # type: ignore[arg-type]  # which raises what is wrong with it
    if "e" in text:
        digits = len(text.partition("e")[0].partition(".")[2])
        return _close(text, f"{number:.{digits}e}")
    return _close(text, f"{number:.{len(text.partition('.')[2])}f}")


def _lines(text: str) -> list[str]:
    lines = [" ".join(line.split()) for line in text.rstrip().splitlines()]
    return [re.sub(r"([\[(]) | (?=[\])])", r"\1", line) for line in lines]


def _same_line(shown: str, printed: str, varies: bool) -> bool:
    if shown == printed:
        return True
    if _NUMBER.sub(_MASK, shown) != _NUMBER.sub(_MASK, printed):
        return False
    pairs = zip(_NUMBER.findall(shown), _NUMBER.findall(printed), strict=True)
    return varies or all(_close(mine, real) for mine, real in pairs)


def _close(shown: str, printed: str) -> bool:
    """Return whether two numbers are the same to the digits that are shown of them."""
    if shown == printed:
        return True
    a, b = float(shown), float(printed)
    is_whole = "." not in shown and "e" not in shown
    if a == b or is_whole or SAME_DIGITS:
        return a == b  # -0. is 0.
    mantissa, _, power = shown.partition("e")
    unit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    return abs(a - b) < 1.5 * unit
