"""Files in blocks that can be encoded one by one, by whoever is free: each begins with a word."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import not_utf8, shorten
from llm_explainer.tokenizer.fast_encoding import CUT

BLOCK_BYTES = 1 << 18
"""That are read at a time; a block is about as large, or as far as it is to the next cut.

With a mebibyte the allocator kept ever more of what was freed: 120 MB after 200 MB of text.
"""

_NEAR_BYTES = 1 << 12  # from the end, where a cut is looked for first


class Block(NamedTuple):
    """A stretch of a file, and where it stands there."""

    data: bytes  # UTF-8, if the file is
    path: Path
    offset: int  # bytes

    def text(self) -> str:
        """Return the block as text.

        Raises:
            TokenizerError: it is not UTF-8; says at which byte of the file.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            raise not_utf8(self.path, error, self.offset) from None


def read_blocks(path: Path, last_cut: Callable[[bytes], int]) -> Iterator[Block]:
    """Yield a file in blocks.

    Args:
        path: of a text file.
        last_cut: returns the last place where bytes that begin with a word can be cut, 0 if none.

    Raises:
        TokenizerError: the file is missing or unreadable.
    """
    held, offset = b"", 0
    try:
        with path.open("rb") as file:
            # At least doubling what is held keeps a word of n bytes from costing n * n.
            while chunk := file.read(max(BLOCK_BYTES, len(held))):
                held += chunk
                if cut := last_cut(held):
                    yield Block(held[:cut], path, offset)
                    held, offset = held[cut:], offset + cut
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TokenizerError(f"cannot read {shorten(str(path))}: {reason}") from None
    if held:
        yield Block(held, path, offset)


def last_word(data: bytes) -> int:
    """Return the last place where a word begins with every pattern that has a name, or 0."""
    for start in (max(1, len(data) - _NEAR_BYTES), 1):
        cut = 0
        for match in CUT.finditer(data, start):
            cut = match.start()
        if cut:
            return cut
    return 0


def behind_special(names: Iterable[str]) -> Callable[[bytes], int]:
    """Return what finds the place behind the last special token: no word reaches across one."""
    encoded = sorted((name.encode() for name in names), key=len, reverse=True)
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


def cuts_between_words(special_tokens: Iterable[str]) -> bool:
    """Return whether ``last_word`` never cuts through one of these."""
    return not any(character in name for name in special_tokens for character in " \n,")
