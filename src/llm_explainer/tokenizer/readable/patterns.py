"""How text is cut into words before any merging: GPT-2's pattern, GPT-4's, or one of your own."""

from __future__ import annotations

from typing import Protocol, cast

import regex  # type: ignore[import-untyped]

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten

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

    def finditer(self, text: str) -> list[Match]:
        """Return every match, one after the other."""


def compile_pattern(pattern: str) -> Pattern:
    """Compile a regular expression, or one of the names in ``PATTERNS``.

    Raises:
        TokenizerError: not text, or not a regular expression.
    """
    if not isinstance(pattern, str) or not pattern:
        raise TokenizerError(
            f"pattern is {pattern!r}; it takes {', '.join(PATTERNS)}, or a regular expression"
        )
    try:
        return cast(Pattern, regex.compile(PATTERNS.get(pattern, pattern)))
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        raise TokenizerError(f"pattern {shorten(pattern)} does not compile: {error}") from None
