"""From text to words: cut at special tokens, then by the pattern, in one go or as it comes."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Literal, NoReturn

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import check_text, shorten
from llm_explainer.tokenizer.readable.cuts import leaves_whole
from llm_explainer.tokenizer.readable.dressing import Dressing
from llm_explainer.tokenizer.readable.patterns import compile_pattern, with_gaps
from llm_explainer.tokenizer.readable.special_tokens import (
    AllowedSpecial,
    TokenFlags,
    allowed_names,
    check_special_tokens,
    cut_at,
    find_special,
    searched_for,
)

_BLOCK_CHARS = 1 << 14  # characters that a stream gathers before it looks for words
_LOOKAHEAD_CHARS = 64  # how far past a word's end a pattern may look

Borders = Literal["both", "blanks", "special", "none"]
"""Where a text may be cut before it is known: at blanks (``cuts``), behind special tokens."""


class Splitter:
    """Cuts text at special tokens, and what lies between them into words.

    Where one special token is the beginning of another, the longest that fits is taken. Words never
    reach across a special token, so merges cannot either.

    Args:
        pattern: a name in ``PATTERNS`` or a regular expression, whose matches are the words; or
            several, each of which cuts what the one before it made.
        special_tokens: the names to cut at.
        lossless: refuse text that the pattern does not cover; otherwise what it skips is dropped.
        keeps_gaps: what the pattern skips is neither, but a word of its own.
        flags: of special tokens that take or want something of the text around them.
        dressing: what is done to the text before it is cut into words.

    Raises:
        TokenizerError: a pattern that does not compile; special tokens that repeat, are empty or
            are not text.
    """

    def __init__(
        self,
        pattern: str | Sequence[str],
        special_tokens: Iterable[str] = (),
        *,
        lossless: bool = True,
        keeps_gaps: bool = False,
        flags: Mapping[str, TokenFlags] | None = None,
        dressing: Dressing | None = None,
    ) -> None:
        self.pattern = pattern
        self.special_tokens = check_special_tokens(special_tokens)
        self._flags, self._dressing = flags or {}, dressing or Dressing()
        self._later = searched_for(self.special_tokens, self._flags, self._dressing.normalize)
        self._later_flags = {text: self._flags[name] for name, text in self._later.items()}
        self._lossless, self._keeps_gaps = lossless, keeps_gaps
        self._words = compile_pattern(pattern)

    def words(self, text: str) -> list[str]:
        """Return the words of ordinary text: ``"It's here"`` -> ``["It", "'s", " here"]`` (gpt2).

        Raises:
            TokenizerError: a character that the pattern does not cover.
        """
        if self._words.groups:  # findall would return the groups instead of the words
            words = [match.group() for match in self._words.finditer(text)]
        else:
            words = self._words.findall(text)
        if self._lossless and "".join(words) != text:
            if self._keeps_gaps:
                return with_gaps(self._words, text)
            self._refuse_gap(text)
        return words

    def parts(self, text: str, allowed: AllowedSpecial = "all") -> Iterator[tuple[str, str]]:
        """Yield (ordinary text, the special token after it); the last has "" after it.

        ``"a<|x|>b"`` -> ``("a", "<|x|>"), ("b", "")``.

        Raises:
            TokenizerError: not text; text that UTF-8 cannot hold; an unknown name in ``allowed``.
        """
        check_text(text)
        names = self.allowed_names(allowed)
        exact = [name for name in names if name not in self._later]
        later = {self._later[name]: name for name in names if name in self._later}
        at_start, are_white = True, not self._dressing.marks_before_special
        for piece, special in cut_at(text, exact, self._flags):
            normal = self._dressing.normalize(piece)
            found_later = cut_at(normal, later, self._later_flags, blanks_are_white=are_white)
            for ordinary, found in found_later:
                yield self._dressing.begin(ordinary, at_start), later.get(found, special)
                at_start = False

    def sought(self, name: str) -> str:
        """Return what is looked for in a text, normalized or not, for a special token."""
        return self._later.get(name, name)

    @property
    def borders(self) -> Borders:
        """Where text may be cut, or special tokens be looked for, without a look at the rest."""
        looks_around = any(flags.looks_around for flags in self._flags.values())
        if looks_around or self._dressing.spaces == "first":
            return "none"
        if self._dressing.spaces:  # a space is put where a part begins
            return "none" if self._later else "special"
        return "blanks" if self._later else "both"

    def may_be_cut_at_blanks(self, names: Iterable[str]) -> bool:
        """Return whether ``cuts`` holds for a text, if it does for the pattern and these names."""
        texts = {text for name in names for text in (name, self.sought(name))}
        return self.borders in ("both", "blanks") and leaves_whole(texts)

    def stream(
        self, blocks: Iterable[str], allowed: AllowedSpecial = "all"
    ) -> Iterator[tuple[list[str], str]]:
        """Yield (words, the special token after them), as ``parts`` and ``words`` of all blocks.

        The blocks make one text together and may end anywhere, even inside a word. Held in memory:
        16,384 characters, one block, or one word, whichever is the longest.
        Words are the same as in one go for every pattern that looks no further than 64 characters
        past a word's end and does not look behind its start. Where text is changed before it is
        cut, or a special token takes some of it, the whole text is held.
        """
        names = self.allowed_names(allowed)
        if self._dressing != Dressing() or self.borders != "both":
            for ordinary, special in self.parts("".join(checked_blocks(blocks)), names):
                yield self.words(ordinary), special
            return
        buffer, gathered, n_gathered, enough = "", list[str](), 0, _BLOCK_CHARS
        for block in checked_blocks(blocks):
            gathered.append(block)
            n_gathered += len(block)
            if n_gathered < enough:
                continue
            buffer = "".join([buffer, *gathered])
            gathered, n_gathered = [], 0
            consumed = yield from self._settled(buffer, names)
            buffer = buffer[consumed:]
            # At least doubling what is held keeps a word of n characters from costing n * n.
            enough = max(_BLOCK_CHARS, len(buffer))
        for ordinary, special in self.parts("".join([buffer, *gathered]), names):
            yield self.words(ordinary), special

    def allowed_names(self, allowed: AllowedSpecial) -> tuple[str, ...]:
        """Return the names of the special tokens that ``allowed`` means.

        Raises:
            TokenizerError: an unknown name.
        """
        return allowed_names(self.special_tokens, allowed)

    def _settled(
        self, buffer: str, names: tuple[str, ...]
    ) -> Generator[tuple[list[str], str], None, int]:
        """Yield the words that no further text can change; return how many characters they are."""
        longest = max(map(len, names), default=0)
        start = 0
        for match in find_special(buffer, names):
            if match.start() + longest > len(buffer):
                break  # more text may make it a longer one
            yield self.words(buffer[start : match.start()]), match.group()
            start = match.end()
        # White space at the end may go on, and then belong to other words; so may what could be the
        # first half of a special token.
        horizon = len(buffer.rstrip()) - longest - _LOOKAHEAD_CHARS - start
        words, consumed = [], 0
        for match in self._words.finditer(buffer[start:]):
            if match.end() > horizon:
                break
            if self._lossless and match.start() != consumed:
                if not self._keeps_gaps:
                    self._refuse_gap(buffer[start:])
                words.append(buffer[start + consumed : start + match.start()])
            words.append(match.group())
            consumed = match.end()
        yield words, ""
        return start + consumed

    def _refuse_gap(self, text: str) -> NoReturn:
        """Name the first character that no word of ``text`` holds."""
        covered = 0
        for match in self._words.finditer(text):
            if match.start() != covered:
                break
            covered = match.end()
        raise TokenizerError(
            f"pattern {shorten(self.pattern)} leaves out {text[covered]!r}; "
            r"a pattern that ends with |[\s\S] covers every text"
        )


def checked_blocks(blocks: Iterable[str]) -> Iterator[str]:
    """Yield the blocks, each known to be text.

    Raises:
        TokenizerError: what ``check_text`` refuses.
    """
    for block in blocks:
        check_text(block)
        yield block
