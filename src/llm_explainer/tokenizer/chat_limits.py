"""What one rendering of a chat template may take: steps, and lengths before they are made.

A template comes from strangers, and its sandbox says what it may reach, not for how long or how
much. So every loop, call, filter and operator is counted, and how long what it makes will be is
worked out beforehand. What is allowed is a hundred times what a conversation needs.
"""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import jinja2
from jinja2.utils import Namespace

T = TypeVar("T")

MOST_STEPS = 1_000_000
MOST_LENGTH = 1 << 22
"""Characters or items of one value."""

MOST_BYTES = 1 << 28
"""Of all values that are made, one after the other."""

MOST_BITS = 4096
MOST_WIDTH = 10_000
"""Of what is filled up to a width."""

WIDENING = {"center", "ljust", "rjust", "zfill", "indent", "wordwrap", "batch", "slice", "round"}
"""Filters and methods whose result grows with a number, or with a second text."""

CHEAP = {"length", "count", "first", "last", "default", "d", "attr"}
"""Filters that take no longer for a long value."""

BY_ITEM = {"list", "map", "items", "select", "reject", "selectattr", "rejectattr", "reverse"}
BY_ITEM |= {"batch", "slice"}
"""Filters that go through a list's items and do not look into them."""

BY_CHARACTER = {
    "title",
    "urlize",
    "wordcount",
    "sort",
    "groupby",
    "unique",
    "random",
    "list",
    "map",
}
BY_CHARACTER |= {"min", "max", "sum", "wordwrap", "dictsort"}
"""Filters that take a text apart in Python."""

_ITEM_BYTES = 56  # a short text
_WIDE = re.compile(r"\d{5,}|%[^a-zA-Z%]*\*|\{[^{}]*:[^{}]*\{")


class Budget:
    """What is left for one rendering.

    Every method raises ``jinja2.TemplateError`` where that is not enough.
    """

    def __init__(self) -> None:
        self._steps, self._bytes = MOST_STEPS, MOST_BYTES

    def step(self, n: int = 1) -> None:
        """Take steps."""
        self._steps -= n
        if self._steps < 0:
            too_many_steps()

    def made(self, value: T) -> T:
        """Return a value that was made."""
        n_bytes = sys.getsizeof(value)
        if isinstance(value, Collection):
            self.fits(len(value))
            n_bytes += 0 if isinstance(value, (str, bytes)) else _ITEM_BYTES * len(value)
        self._take(n_bytes)
        return value

    def _take(self, n_bytes: int) -> None:
        self._bytes -= n_bytes
        if self._bytes < 0:
            raise jinja2.TemplateError(f"it makes values of more than {MOST_BYTES:,} bytes")

    def fits(self, length: int) -> None:
        """Refuse what is longer than any value may be."""
        if length > MOST_LENGTH:
            raise jinja2.TemplateError(f"a value of more than {MOST_LENGTH:,} characters or items")

    def read(self, value: Any) -> None:
        """Take the steps of reading a text, or the items of a list."""
        if isinstance(value, str):
            self.step(1 + (len(value) >> 10))
        elif isinstance(value, Collection):
            self.step(1 + (len(value) >> 2))
        else:
            self.step()

    def written(self, value: Any, indent: int = 0) -> int:
        """Return about how long a value is as a text, with all that is in it."""
        length, rest = 0, [(value, 0)]
        while rest:
            each, depth = rest.pop()
            length += 2 + depth * indent
            if isinstance(each, (str, bytes)):
                self.step(1 + (len(each) >> 10))
                length += len(each)
            elif isinstance(each, Namespace):
                raise jinja2.TemplateError("a namespace is no text")
            elif isinstance(each, Collection):
                self.step(1 + len(each))
                inner = each.items() if isinstance(each, Mapping) else each
                rest.extend((one, depth + 1) for one in inner)
            self.fits(length)
        return length

    def loop(self, items: Iterable[T], n_steps: int = 1, n_chars: int = 0) -> Iterator[T]:
        """Yield what is looped over; each time takes steps, and characters that are written."""
        for item in items:
            self.step(n_steps)
            self._take(n_chars)
            yield item

    def operator(self, sign: str, left: Any, right: Any) -> None:
        """Refuse what an operator would make too large."""
        self.step()
        if sign == "%" and isinstance(left, str):
            self._filled(left, "%", right)
        elif sign == "**":
            if isinstance(left, int) and isinstance(right, int):
                self._bits(left.bit_length() * abs(right))
        elif sign == "*":
            if isinstance(left, int) and isinstance(right, int):
                self._bits(left.bit_length() + right.bit_length())
            for one, times in ((left, right), (right, left)):
                if isinstance(one, Sequence) and isinstance(times, int):
                    self.fits(len(one) * times)

    def _bits(self, n: int) -> None:
        if n > MOST_BITS:
            raise jinja2.TemplateError(f"a number of more than {MOST_BITS:,} bits")

    def call(self, name: str, value: Any, arguments: Sequence[Any]) -> None:
        """Refuse what a filter, or a method of ``value``, would make too long."""
        for argument in arguments:
            self.read(argument)
        if name in WIDENING:
            widths = [len(each) if isinstance(each, str) else each for each in arguments]
            width = max((abs(each) for each in widths if isinstance(each, int)), default=1)
            if width > MOST_WIDTH:
                raise jinja2.TemplateError(f"{name} to more than {MOST_WIDTH:,}")
            self.fits((len(value) if isinstance(value, str) else 1) * width)
        elif name == "join":
            joins = arguments[0] if arguments and isinstance(arguments[0], str) else ""
            self.fits(len(value) * len(joins))
        elif name == "replace" and len(arguments) > 1:
            self.written(arguments)
            text, (old, new) = str(value), map(str, arguments[:2])
            self.fits(text.count(old) * len(new))
        elif name in ("format", "format_map"):
            self._filled(str(value), "%{", arguments)

    def _filled(self, text: str, marks: str, values: Any) -> None:
        """Refuse a text whose places would be filled with too much."""
        if _WIDE.search(text):
            raise jinja2.TemplateError("a text to be filled in that asks for a width too large")
        n_places = sum(map(text.count, marks))
        self.fits(n_places * (MOST_WIDTH if n_places > 99 else self.written(values)))


def too_many_steps() -> NoReturn:
    """Say that a rendering does not come to an end."""
    raise jinja2.TemplateError(f"more than {MOST_STEPS:,} steps")


def counted(name: str, function: Callable[..., Any], budget: Callable[[], Budget]) -> Any:
    """Return a filter that takes from a budget.

    Args:
        name: as templates have it.
        function: what it does.
        budget: returns that of the rendering that goes on.
    """
    n_before = int(hasattr(function, "jinja_pass_arg"))  # what Jinja gives it before the value

    @functools.wraps(function)
    def within(*arguments: Any, **named: Any) -> Any:
        left, before = budget(), arguments[:n_before]
        value, *given = arguments[n_before:]
        if name == "join" and not isinstance(value, Collection):
            value = list(left.loop(value))  # what comes one by one is needed twice
        if name in CHEAP:
            left.step()
        elif name in BY_ITEM:
            left.step(1 + (len(value) >> 2 if isinstance(value, Collection) else 0))
        else:
            indent = (named.get("indent") or 0) if name == "tojson" else 0
            left.written(value, indent if isinstance(indent, int) else len(str(indent)))
        if name in BY_CHARACTER and isinstance(value, str):
            left.step(len(value) >> 2)
        left.call(name, value, [*given, *named.values()])
        return left.made(function(*before, value, *given, **named))

    return within


def counted_test(function: Callable[..., Any], budget: Callable[[], Budget]) -> Any:
    """Return a test, what stands behind ``is``, that takes from a budget."""
    n_before = int(hasattr(function, "jinja_pass_arg"))

    @functools.wraps(function)
    def within(*arguments: Any) -> Any:
        left, (value, *others) = budget(), arguments[n_before:]
        left.read(value) if isinstance(value, str) else left.step()
        if others:  # perhaps all that is in it is compared
            left.written([value, *others])
        return function(*arguments)

    return within
