"""Special tokens: names that are one token each, such as ``<|endoftext|>``, and no text.

Here they are checked, and found in a text; ``Splitter.parts`` cuts at them, and whoever encodes the
parts puts the id after each: ``PatternTokenizer.encode``, and ``FastEncoder.encode`` alike.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Literal, cast

import regex  # type: ignore[import-untyped]

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import check_text, shorten
from llm_explainer.tokenizer.readable.patterns import Match, Pattern

AllowedSpecial = Literal["all", "none"] | Collection[str]
"""Which names are special in a text; the others are text like any other."""


def check_special_tokens(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names.

    Raises:
        TokenizerError: a bare string, or names that repeat, are empty or are not text.
    """
    if isinstance(names, (str, bytes)):
        raise TokenizerError(f"special tokens are {names!r}; they come as a list: [{names!r}]")
    checked: list[str] = []
    for name in names:
        if not isinstance(name, str) or not name:
            raise TokenizerError(f"special token {name!r} is not a name; use one as <|endoftext|>")
        if name in checked:
            raise TokenizerError(f"special token {shorten(name)} is given twice; once would do")
        check_text(name)
        checked.append(name)
    return tuple(checked)


def allowed_names(known: Sequence[str], allowed: AllowedSpecial) -> tuple[str, ...]:
    """Return the names among ``known`` that ``allowed`` means.

    Raises:
        TokenizerError: an unknown name.
    """
    if allowed == "all":
        return tuple(known)
    if allowed == "none":
        return ()
    names = check_special_tokens(allowed)
    for name in names:
        if name not in known:
            raise TokenizerError(
                f"unknown special token {shorten(name)}; known: {', '.join(known) or 'none'}"
            )
    return names


def find_special(text: str, names: tuple[str, ...]) -> Iterable[Match]:
    """Return where the names stand in a text; of several that begin alike the longest is found."""
    return _any_of(names).finditer(text) if names else ()


@lru_cache(64)
def _any_of(names: tuple[str, ...]) -> Pattern:
    longest_first = sorted(names, key=len, reverse=True)
    return cast(Pattern, regex.compile("|".join(map(regex.escape, longest_first))))
