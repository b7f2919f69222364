"""UTF-8 in blocks that stay in the processor's cache, and where the words of each end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.fast import choice
from llm_explainer.tokenizer.fast.character_classes import SPECIAL_BYTE
from llm_explainer.tokenizer.readable.cuts import next_cut
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.symbols import warn_of_missing

BLOCK_BYTES = 1 << 18
"""Of text worked on together: what is made of it stays in the cache."""


def blocks_of_words(
    splitter: Splitter, parts: Iterable[tuple[str, str]]
) -> Iterator[tuple[bytes, NDArray[np.int32]]]:
    """Yield UTF-8, and where its words end; 0xFF stands for the special tokens between parts.

    Args:
        splitter: whose pattern cuts the text into words.
        parts: of one text, as ``Splitter.parts`` yields them.
    """
    if choice.has_rules(splitter.pattern):
        data = SPECIAL_BYTE.join([text.encode() for text, _ in parts])
        yield from cut_blocks(data, splitter.pattern)
        return
    for text, special in parts:
        words = [word for word in splitter.words(text) if word]
        if words or special:
            yield joined(words, special)


def cut_blocks(data: bytes, pattern: str) -> Iterator[tuple[bytes, NDArray[np.int32]]]:
    """Yield blocks of UTF-8 (and 0xFF), and where the words of each end, by a pattern's name."""
    start = 0
    while start < len(data):
        end = next_cut(data, start + BLOCK_BYTES)
        block = data[start:end]
        yield block, choice.word_ends(block, pattern)
        start = end


def joined(words: list[str], special: str) -> tuple[bytes, NDArray[np.int32]]:
    """Return words, and perhaps a special token after them, as ``blocks_of_words`` does."""
    encoded = [word.encode() for word in words] + [SPECIAL_BYTE] * bool(special)
    return b"".join(encoded), np.cumsum([len(word) for word in encoded], dtype=np.int32)


def without_bytes(
    data: bytes, ends: NDArray[np.int32], missing: bytes
) -> tuple[bytes, NDArray[np.int32]]:
    """Return words without the bytes that have no token; say so if there are any.

    ``b"a\\x04 b", [2, 4]`` -> ``b"a b", [1, 3]``.
    """
    kept = data.translate(None, missing)
    if len(kept) == len(data):
        return data, ends
    warn_of_missing(data, missing)
    is_kept = np.ones(256, np.bool_)
    is_kept[list(missing)] = False
    n_kept = np.cumsum(is_kept[np.frombuffer(data, np.uint8)], dtype=np.int32)
    ends = n_kept[ends - 1]
    return kept, ends[np.diff(ends, prepend=np.int32(0)) > 0]
