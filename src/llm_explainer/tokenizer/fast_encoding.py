"""The fast way from text to ids: compiled where the core is in use, with NumPy elsewhere.

The readable way is ``PatternTokenizer.encode``: words by ``regex``, each merged on its own. Here a
text is cut into blocks, a block into words, and all of them are looked up in a table of the words
met before. Tests hold the two together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer import core, vector_splitting
from llm_explainer.tokenizer.bpe_merging import Pair
from llm_explainer.tokenizer.character_classes import SPECIAL_BYTE, character_classes
from llm_explainer.tokenizer.counting import has_space, last_cut
from llm_explainer.tokenizer.patterns import PATTERNS
from llm_explainer.tokenizer.splitter import AllowedSpecial, Splitter, checked_pieces
from llm_explainer.tokenizer.vector_encoding import VectorEncoder

Ids = NDArray[np.int32]

BLOCK_BYTES = 1 << 18
"""Of text worked on together: what is made of it stays in the processor's cache."""

MOST_WORDS = 1 << 17
"""Words that an encoder remembers: about 10 MB."""

_STREAM_CHARS = 1 << 13  # that a stream gathers
_STREAM_WORDS = 1 << 10  # that it encodes at a time where it has words already

_TEXT, _CJK = rb"[!-~]", rb"[\xe4-\xed][\x80-\xbf][\x80-\xbf]"
CUT = re.compile(
    rb"(?:(?<=%b)|(?<=%b))(?= )|(?:(?<=%b\n)|(?<=%b\n))(?=[!-~\xe4-\xed])"
    rb"|(?<=[0-9A-Za-z])(?=,)|(?=\xff)" % (_TEXT, _CJK, _TEXT, _CJK)
)
"""Where a word of both patterns begins, whatever stands before and after.

That is at a blank after anything that is not white, after the only end of line between two such
things, at a comma after a letter or digit of ASCII, at a special token. Of characters outside of
ASCII only those that begin with E4 to ED are known here not to be white: Chinese and Korean, which
have few blanks.
"""


class FastEncoder:
    """Encodes text for a byte-level BPE tokenizer.

    Args:
        splitter: cuts at special tokens, and into words.
        ranks: the place of every merge in the order of learning.
        merged: the id that each merge makes.
        byte_ids: the id of every byte (256,).
        special_tokens: the id of every special token.
        whole_words: words that are not merged, and their ids.
    """

    def __init__(
        self,
        splitter: Splitter,
        ranks: Mapping[Pair, int],
        merged: Sequence[int],
        byte_ids: Sequence[int],
        special_tokens: Mapping[str, int],
        whole_words: dict[bytes, int],
    ) -> None:
        self._splitter, self._special_tokens = splitter, special_tokens
        self._stand_in = byte_ids[SPECIAL_BYTE[0]]  # never the id of text, which lacks this byte
        self._words: core.encoding.WordEncoder | VectorEncoder
        if core.core_in_use():
            pairs = np.array(list(ranks), np.int64).reshape(-1, 2)
            keys = pairs[:, 0] << 32 | pairs[:, 1]
            self._words = core.encoding.WordEncoder(keys, merged, byte_ids, MOST_WORDS, whole_words)
        else:
            self._words = VectorEncoder(ranks, merged, byte_ids, MOST_WORDS, whole_words)

    def encode(self, text: str, allowed_special: AllowedSpecial) -> Ids:
        """Return the ids of a text (n_ids,).

        Raises:
            TokenizerError: as ``PatternTokenizer.encode``.
        """
        parts = list(self._splitter.parts(text, allowed_special))
        special_ids = [self._special_tokens[special] for _, special in parts[:-1]]
        blocks = [self._words.encode(*block) for block in blocks_of_words(self._splitter, parts)]
        ids = np.concatenate(blocks) if blocks else np.empty(0, np.int32)
        if special_ids:
            ids[ids == self._stand_in] = special_ids
        return ids

    def stream(self, pieces: Iterable[str]) -> Iterator[Ids]:
        """Yield the ids of the one text that the pieces make, a block (n_ids,) at a time.

        Raises:
            TokenizerError: as ``PatternTokenizer.encode_iterable``.
        """
        pieces = checked_pieces(pieces)
        fast = self._splitter.pattern in PATTERNS
        fast = fast and not has_space(self._splitter.special_tokens)
        buffer, gathered, n_chars = "", list[str](), 0
        while fast and (piece := next(pieces, None)) is not None:
            gathered.append(piece)
            n_chars += len(piece)
            if n_chars < _STREAM_CHARS:
                continue
            buffer = "".join(gathered)
            cut = last_cut(buffer)
            if cut:
                yield self.encode(buffer[:cut], "all")
            fast = n_chars - cut < _STREAM_CHARS
            gathered, n_chars = [buffer[cut:]], n_chars - cut
        # The end; or all that follows on a text with hardly any blanks, where it takes the pattern
        # to know what no further text can change.
        for words, special in self._splitter.stream(chain(gathered, pieces)):
            for start in range(0, len(words), _STREAM_WORDS):
                part = words[start : start + _STREAM_WORDS]
                yield self._words.encode(*_joined(part, ""))
            if special:
                yield np.array([self._special_tokens[special]], np.int32)

    def forget(self) -> None:
        """Begin again with no words, as a new encoder does."""
        self._words.forget()

    def n_kept(self) -> int:
        """Return how many words are remembered; no more than ``MOST_WORDS`` and a block's."""
        return self._words.n_kept()


def blocks_of_words(
    splitter: Splitter, parts: Iterable[tuple[str, str]]
) -> Iterator[tuple[bytes, NDArray[np.int32]]]:
    """Yield UTF-8, and where its words end; 0xFF stands for the special tokens between parts.

    Args:
        splitter: whose pattern cuts the text into words.
        parts: of one text, as ``Splitter.parts`` yields them.
    """
    if splitter.pattern in PATTERNS:
        data = SPECIAL_BYTE.join([text.encode() for text, _ in parts])
        yield from cut_blocks(data, splitter.pattern)
        return
    for text, special in parts:
        words = [word for word in splitter.words(text) if word]
        if words or special:
            yield _joined(words, special)


def cut_blocks(data: bytes, pattern: str) -> Iterator[tuple[bytes, NDArray[np.int32]]]:
    """Yield blocks of UTF-8 (and 0xFF), and where the words of each end, by a pattern's name."""
    start = 0
    while start < len(data):
        end = next_cut(data, start + BLOCK_BYTES)
        block = data[start:end]
        yield block, word_ends(block, pattern)
        start = end


def word_ends(data: bytes, pattern: str) -> NDArray[np.int32]:
    """Return where every word ends, in bytes (n_words,); see ``vector_splitting.word_ends``."""
    if core.core_in_use():
        return core.splitting.word_ends(data, character_classes(), pattern == "gpt4")
    return vector_splitting.word_ends(data, pattern)


def next_cut(data: bytes, start: int) -> int:
    """Return the first place from ``start`` on where a word certainly begins, or the end."""
    if start >= len(data):
        return len(data)
    match = CUT.search(data, start)
    return match.start() if match else len(data)


def _joined(words: list[str], special: str) -> tuple[bytes, NDArray[np.int32]]:
    """Return words, and perhaps a special token after them, as ``blocks_of_words`` does."""
    encoded = [word.encode() for word in words] + [SPECIAL_BYTE] * bool(special)
    return b"".join(encoded), np.cumsum([len(word) for word in encoded], dtype=np.int32)
