"""How text is cut into words before any merging: by a pattern with a name, or your own.

A file may have several patterns, one after the other: each cuts what the ones before it left whole
(DeepSeek's has three). ``Cascade`` does that, and looks like a pattern from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import regex  # type: ignore[import-untyped]

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten


def _with_numbers(numbers: str) -> str:
    return (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
        rf"{numbers}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


PATTERNS = {
    # A contraction; letters, digits or signs, each with the space before them; white space, which
    # leaves its last character to the word that follows. (Radford et al. 2019, section 2.2)
    "gpt2": (
        r"'(?:[sdmt]|ll|ve|re)"
        r"| ?\p{L}+"
        r"| ?\p{N}+"
        r"| ?[^\s\p{L}\p{N}]+"
        r"|\s+(?!\S)"
        r"|\s+"
    ),
    # The same idea with capital contractions, digits in threes, and lines that end with a word.
    "gpt4": (
        r"'(?i:[sdmt]|ll|ve|re)"
        r"|[^\r\n\p{L}\p{N}]?+\p{L}+"
        r"|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]"
        r"|\s+(?!\S)"
        r"|\s+"
    ),
    # GPT-4's as the files of Llama 3 write it; it finds the same words.
    "llama3": _with_numbers(r"\p{N}{1,3}"),
    # With every digit for itself: Qwen's.
    "qwen": _with_numbers(r"\p{N}"),
    # GPT-2's with every digit for itself, cut off before anything else, so that a digit is to white
    # space what the end of the text is: SmolLM's.
    "smollm": (
        r"'(?:[sdmt]|ll|ve|re)"
        r"| ?\p{L}+"
        r"|\p{N}"
        r"| ?[^\s\p{L}\p{N}]+"
        r"|\s+(?![^\s\p{N}])"
        r"|\s+"
    ),
}
"""The patterns that have a name."""


class Match(Protocol):
    """What we use of a match of ``regex``."""

    def group(self) -> str:
        """Return the matched text."""

    def start(self) -> int:
        """Return where the match begins."""

    def end(self) -> int:
        """Return where the match ends."""


class Pattern(Protocol):
    """What we use of a compiled pattern of ``regex``; unlike ``re``, it knows ``\\p{L}``."""

    groups: int

    def findall(self, text: str) -> list[str]:
        """Return every match (of a pattern without groups) as text."""

    def finditer(self, text: str) -> Iterable[Match]:
        """Return every match, one after the other."""


@dataclass(frozen=True)
class Piece:
    """A ``Match`` of several patterns."""

    text: str
    place: int

    def group(self) -> str:
        """Return the text."""
        return self.text

    def start(self) -> int:
        """Return where it begins."""
        return self.place

    def end(self) -> int:
        """Return where it ends."""
        return self.place + len(self.text)


class Cascade:
    """Patterns of which each cuts what the one before it made; what lies between matches is kept.

    With the patterns ``\\d`` and ``[a-z]``: ``"ab-12"`` -> ``["a", "b", "-", "1", "2"]``.
    """

    groups = 0

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns

    def findall(self, text: str) -> list[str]:
        """Return the pieces that all patterns together make of a text."""
        pieces = [text]
        for pattern in self._patterns:
            pieces = [small for piece in pieces for small in with_gaps(pattern, piece)]
        return pieces

    def finditer(self, text: str) -> list[Match]:
        """Return the same with their places."""
        pieces, place = list[Match](), 0
        for piece in self.findall(text):
            pieces.append(Piece(piece, place))
            place += len(piece)
        return pieces


def with_gaps(pattern: Pattern, text: str) -> list[str]:
    """Return the matches in a text, and what lies between them."""
    pieces, end = list[str](), 0
    for match in pattern.finditer(text):
        pieces += [text[end : match.start()], match.group()]
        end = match.end()
    return [piece for piece in (*pieces, text[end:]) if piece]


def compile_pattern(pattern: str | Sequence[str]) -> Pattern:
    """Compile a regular expression, one of the names in ``PATTERNS``, or several of them.

    Raises:
        TokenizerError: not text, or not a regular expression.
    """
    if isinstance(pattern, tuple):
        return Cascade([compile_pattern(each) for each in pattern])
    if not isinstance(pattern, str) or not pattern:
        raise TokenizerError(
            f"pattern is {pattern!r}; it takes {', '.join(PATTERNS)}, or a regular expression"
        )
    try:
        return cast(Pattern, regex.compile(PATTERNS.get(pattern, pattern)))
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise TokenizerError(f"pattern {shorten(pattern)} does not compile: {error}") from None
