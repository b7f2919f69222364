"""From text to ids: compiled where the core is in use, with NumPy elsewhere.

The readable way is ``PatternTokenizer.encode``: words by ``regex``, each merged on its own. Here a
text is cut into blocks, a block into words, and all of them are looked up in a table of the words
met before. Tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.fast import choice
from llm_explainer.tokenizer.fast.blocks import blocks_of_words, joined, without_bytes
from llm_explainer.tokenizer.fast.character_classes import SPECIAL_BYTE
from llm_explainer.tokenizer.readable.cuts import last_cut
from llm_explainer.tokenizer.readable.naive import Pair
from llm_explainer.tokenizer.readable.special_tokens import AllowedSpecial
from llm_explainer.tokenizer.readable.splitting import Splitter, checked_blocks
from llm_explainer.tokenizer.readable.symbols import Symbols

Ids = NDArray[np.int32]

MOST_WORDS = 1 << 17
"""Words that an encoder remembers: about 10 MB."""

_NOBODYS = 0x7FFFFFFF  # an id that no token can have
_STREAM_CHARS = 1 << 13  # that a stream gathers
_STREAM_WORDS = 1 << 10  # that it encodes at a time where it has words already


class FastEncoder:
    """Encodes text for a byte-level BPE tokenizer.

    Args:
        splitter: cuts at special tokens, and into words.
        ranks: the place of every merge in the order of learning.
        merged: the id that each merge makes.
        symbols: what words begin with.
        special_tokens: the id of every special token.
        whole_words: words that are not merged, and their ids.
    """

    def __init__(
        self,
        splitter: Splitter,
        ranks: Mapping[Pair, int],
        merged: Sequence[int],
        symbols: Symbols,
        special_tokens: Mapping[str, int],
        whole_words: dict[bytes, int],
    ) -> None:
        self._splitter, self._special_tokens = splitter, special_tokens
        self._missing = symbols.missing.replace(SPECIAL_BYTE, b"")
        if symbols.missing.endswith(SPECIAL_BYTE):
            symbols = replace(symbols, byte_ids=[*symbols.byte_ids[:-1], _NOBODYS])
        # Never the id of text, which lacks this byte.
        self._stand_in = symbols.byte_ids[SPECIAL_BYTE[0]]
        self._words = choice.word_encoder(ranks, merged, symbols, MOST_WORDS, whole_words)

    def encode(self, text: str, allowed_special: AllowedSpecial) -> Ids:
        """Return the ids of a text (n_ids,).

        Raises:
            TokenizerError: as ``PatternTokenizer.encode``.
        """
        parts = list(self._splitter.parts(text, allowed_special))
        special_ids = [self._special_tokens[special] for _, special in parts[:-1]]
        blocks = [self._ids(*block) for block in blocks_of_words(self._splitter, parts)]
        ids = np.concatenate(blocks) if blocks else np.empty(0, np.int32)
        if special_ids:
            ids[ids == self._stand_in] = special_ids
        return ids

    def stream(self, blocks: Iterable[str]) -> Iterator[Ids]:
        """Yield the ids of the one text that the blocks make, some (n_ids,) at a time.

        Raises:
            TokenizerError: as ``PatternTokenizer.encode_iterable``.
        """
        blocks = checked_blocks(blocks)
        fast = choice.may_be_cut(self._splitter)
        gathered, n_chars = list[str](), 0
        while fast and (block := next(blocks, None)) is not None:
            gathered.append(block)
            n_chars += len(block)
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
        for words, special in self._splitter.stream(chain(gathered, blocks)):
            for start in range(0, len(words), _STREAM_WORDS):
                some = words[start : start + _STREAM_WORDS]
                yield self._ids(*joined(some, ""))
            if special:
                yield np.array([self._special_tokens[special]], np.int32)

    def _ids(self, data: bytes, ends: NDArray[np.int32]) -> Ids:
        if self._missing:
            data, ends = without_bytes(data, ends, self._missing)
        return self._words.encode(data, ends) if len(ends) else np.empty(0, np.int32)

    def forget(self) -> None:
        """Begin again with no words, as a new encoder does."""
        self._words.forget()

    def n_kept(self) -> int:
        """Return how many words are remembered; no more than ``MOST_WORDS`` and a block's."""
        return self._words.n_kept()
