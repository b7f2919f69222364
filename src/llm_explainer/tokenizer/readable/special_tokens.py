"""Special tokens: names that are one token each, such as ``<|endoftext|>``, and no text.

Here they are checked, and found in a text; ``Splitter.parts`` cuts at them, and whoever encodes the
parts puts the id after each: ``PatternTokenizer.encode``, and ``FastEncoder.encode`` alike.

In Hugging Face's files they are called added tokens and have flags, which say what they take of the
text around them, what they want of it, and when they are looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, cast

import regex  # type: ignore[import-untyped]

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import check_text, shorten
from llm_explainer.tokenizer.readable.patterns import Match, Pattern

AllowedSpecial = Literal["all", "none"] | Collection[str]
"""Which names are special in a text; the others are text like any other."""

_WORD = regex.compile(r"\w")
_SPACES, _BUT_BLANKS = regex.compile(r"\s*"), regex.compile(r"[^\S ]*")
_WHITE = "".join(regex.findall(r"\s", "".join(map(chr, range(0x3001)))))  # not Python's 1C to 1F


@dataclass(frozen=True)
class TokenFlags:
    """How a special token is looked for; most are looked for just so."""

    lstrip: bool = False  # it takes the white space before it
    rstrip: bool = False  # and behind it
    single_word: bool = False  # it is none beside a letter, digit or underscore
    normalized: bool = False  # it is looked for when text is normalized, after all others
    special: bool = True  # software may leave it out of decoded text

    @property
    def looks_around(self) -> bool:
        """Whether it depends on the text around it."""
        return self.lstrip or self.rstrip or self.single_word


_USUAL = TokenFlags()


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


def cut_at(
    text: str,
    names: Iterable[str],
    flags: Mapping[str, TokenFlags],
    *,
    blanks_are_white: bool = True,
) -> Iterator[tuple[str, str]]:
    """Yield (ordinary text, the name after it); the last has "" after it.

    ``"a<|x|> b"`` -> ``("a", "<|x|>"), (" b", "")``, or ``("b", "")`` with ``rstrip``.

    Args:
        text: any.
        names: that are looked for.
        flags: of those that have other than most.
        blanks_are_white: they are not when they are signs already, see ``dressing``.
    """
    white, spaces = _WHITE, _SPACES
    if not blanks_are_white:
        white, spaces = white.replace(" ", ""), _BUT_BLANKS
    end = 0
    for match in find_special(text, tuple(names)):
        name, start, stop = match.group(), match.start(), match.end()
        how = flags.get(name, _USUAL)
        if how.single_word and (
            _WORD.match(text[:start][-1:]) or _WORD.match(text[stop : stop + 1])
        ):
            continue
        if how.lstrip:
            start = end + len(text[end:start].rstrip(white))
        if how.rstrip:
            stop = spaces.match(text, stop).end()
        yield text[end:start], name
        end = stop
    yield text[end:], ""


def searched_for(
    names: Iterable[str], flags: Mapping[str, TokenFlags], normalize: Callable[[str], str]
) -> dict[str, str]:
    """Return what is looked for in normalized text for each name that is to be found there.

    Raises:
        TokenizerError: two names are the same then.
    """
    later = {name: normalize(name) for name in names if flags.get(name, _USUAL).normalized}
    if len(set(later.values())) < len(later) or "" in later.values():
        raise TokenizerError(f"special tokens are the same when normalized: {shorten([*later])}")
    return later


@lru_cache(64)
def _any_of(names: tuple[str, ...]) -> Pattern:
    longest_first = sorted(names, key=len, reverse=True)
    return cast(Pattern, regex.compile("|".join(map(regex.escape, longest_first))))
