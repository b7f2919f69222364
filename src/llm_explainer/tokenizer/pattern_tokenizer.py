"""What the tokenizers share: text is cut into words, and each word has its ids."""

from __future__ import annotations

import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Self

import numpy as np

from llm_explainer.errors import TokenizerError
from llm_explainer.files import write_atomically
from llm_explainer.tokenizer.base import END_OF_TEXT, StreamDecoder, TokenArray, token_dtype
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.splitter import AllowedSpecial, Splitter
from llm_explainer.tokenizer.tokenizer_json import Document, read_json

_CACHED_WORDS = 1 << 16  # about 20 MB of usual words; the least recently used goes first
_CACHED_CHARS = 64  # longer words are rare, and without a limit memory has none


class PatternTokenizer(ABC):
    """Encodes word by word; a subclass says what the ids of a word and the bytes of an id are."""

    vocab: Mapping[int, bytes] | Mapping[int, str]

    def __init__(self, splitter: Splitter, special_tokens: Mapping[str, int]) -> None:
        self.special_tokens = dict(special_tokens)
        self._splitter = splitter
        self._cached_word_ids = lru_cache(_CACHED_WORDS)(self._word_ids)

    @property
    def vocab_size(self) -> int:
        """How many ids there are: 0 to ``vocab_size - 1``."""
        return len(self.vocab)

    @property
    def end_of_text(self) -> int | None:
        """The id of ``<|endoftext|>``, or None where the vocabulary lacks it."""
        return self.special_tokens.get(END_OF_TEXT)

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """Return the ids of a text; special tokens in it become their id.

        Args:
            text: any text.
            allowed_special: "all", "none", or the names of those that are special in this text;
                the others are text like any other.

        Raises:
            TokenizerError: not text, a lone surrogate, or a character or a special token that the
                tokenizer does not know.
        """
        ids: list[int] = []
        for ordinary, special in self._splitter.parts(text, allowed_special):
            ids += self._ordinary_ids(self._splitter.words(ordinary))
            if special:
                ids.append(self.special_tokens[special])
        return ids

    def encode_array(self, text: str, *, allowed_special: AllowedSpecial = "all") -> TokenArray:
        """Return the ids of a text as an array (n_ids,): uint16, or uint32 past 65,536 ids.

        Raises:
            TokenizerError: as ``encode``.
        """
        ids = self.encode(text, allowed_special=allowed_special)
        return np.array(ids, token_dtype(self.vocab_size))

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens are text like any other.

        Raises:
            TokenizerError: as ``encode``.
        """
        return self.encode(text, allowed_special="none")

    def encode_iterable(self, pieces: Iterable[str]) -> Iterator[int]:
        """Yield the ids of the one text that the pieces (lines of a file, say) make together.

        The ids are those of ``encode`` wherever the pieces end; memory stays bounded.

        Raises:
            TokenizerError: as ``encode``.
        """
        for words, special in self._splitter.stream(pieces):
            yield from self._ordinary_ids(words)
            if special:
                yield self.special_tokens[special]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of the ids; bytes that are no UTF-8 become U+FFFD.

        Raises:
            TokenizerError: an unknown id.
        """
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the UTF-8 bytes of the ids, as they are.

        Raises:
            TokenizerError: an unknown id.
        """
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TokenizerError(f"decode takes a list of ids, received {shorten(ids)}")
        return b"".join(self._token_bytes(token, place == 0) for place, token in enumerate(ids))

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder that takes one id after the other."""
        return StreamDecoder(self._token_bytes)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a ``tokenizer.json`` of this kind of tokenizer.

        Raises:
            TokenizerError: a file that is missing, damaged, or of another kind.
        """
        try:
            return cls.from_json(read_json(path))
        except TokenizerError as error:
            raise TokenizerError(f"{path}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``tokenizer.json`` that gives the same ids in Hugging Face's software.

        Raises:
            OSError: the file cannot be written; one that was there before is left whole.
        """
        write_atomically(path, self.to_json())

    @classmethod
    @abstractmethod
    def from_json(cls, document: Document) -> Self:
        """Build the tokenizer from the content of a ``tokenizer.json``.

        Raises:
            TokenizerError: another kind, settings that would change the ids, or damage.
        """

    @abstractmethod
    def to_json(self) -> bytes:
        """Return the content of the ``tokenizer.json``."""

    def _ordinary_ids(self, words: list[str]) -> list[int]:
        cached, ids = self._cached_word_ids, list[int]()
        for word in words:
            ids += cached(word) if len(word) <= _CACHED_CHARS else self._word_ids(word)
        return ids

    @abstractmethod
    def _word_ids(self, word: str) -> list[int]:
        """Return the ids of a word; nobody writes into the list, since it is cached."""

    @abstractmethod
    def _token_bytes(self, token_id: int, first: bool) -> bytes:
        """Return the UTF-8 bytes of an id; ``first`` says whether the text begins with it."""

    def _unknown_id(self, token_id: object) -> TokenizerError:
        try:
            shown = str(operator.index(token_id))  # type: ignore[arg-type]
        except TypeError:
            shown = shorten(token_id)
        return TokenizerError(f"unknown token id {shown}; ids are 0 to {self.vocab_size - 1}")
