"""What the tokenizers share: text is cut into words, and each word has its ids."""

from __future__ import annotations

import json
import operator
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Any, Self, get_args

import numpy as np

from llm_explainer.errors import TokenizerError
from llm_explainer.files import write_atomically
from llm_explainer.progress import Progress
from llm_explainer.tokenizer.base import (
    DecodeErrors,
    StreamDecoder,
    TokenArray,
    token_dtype,
)
from llm_explainer.tokenizer.chat_template import ChatTemplate
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.token_writer import DTypeName
from llm_explainer.tokenizer.files.tokenizer_json import JsonObject, read_json
from llm_explainer.tokenizer.parallel_encoding import Paths, encode_files, encode_texts
from llm_explainer.tokenizer.readable.cuts import last_cut_behind, last_cut_in_bytes
from llm_explainer.tokenizer.readable.special_tokens import AllowedSpecial
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.roles import TokenRoles

_CACHED_WORDS = 1 << 16  # about 20 MB of usual words; the least recently used goes first
_CACHED_CHARS = 64  # longer words are rare, and without a limit memory has none


class PatternTokenizer(ABC):
    """Encodes word by word; a subclass says what the ids of a word and the bytes of an id are."""

    vocab: Mapping[int, bytes] | Mapping[int, str]
    prefix: tuple[int, ...] = ()

    def __init__(self, splitter: Splitter, special_tokens: Mapping[str, int]) -> None:
        self.special_tokens = dict(special_tokens)
        self.chat_template: ChatTemplate | None = None  # of what it was loaded from, or is to have
        self.roles = TokenRoles.by_name(special_tokens)  # until files say otherwise
        self._splitter = splitter
        self._cached_word_ids = lru_cache(_CACHED_WORDS)(self._word_ids)

    @cached_property
    def vocab_size(self) -> int:
        """How many ids there are: 0 to ``vocab_size - 1``. Not all of them need have a token."""
        return max(self.vocab, default=-1) + 1

    @property
    def end_of_text(self) -> int | None:
        """The id that a text ends with and that stands between documents; None for none."""
        return self.roles.end

    @property
    def name_of_end(self) -> str | None:
        """That token as text, such as ``<|endoftext|>``, or None."""
        return None if self.roles.end is None else self.decode([self.roles.end])

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

    def encode_but_last_word(self, text: str) -> tuple[list[int], str]:
        """Return the ids of a text up to the word that it ends in, and that word.

        It is what the pattern makes a word, with a space before it; "" after a special token.

        Raises:
            TokenizerError: as ``encode``.
        """
        ids: list[int] = []
        for ordinary, special in self._splitter.parts(text):
            words = self._splitter.words(ordinary)
            if special:
                ids += [*self._ordinary_ids(words), self.special_tokens[special]]
        # The last part has no special token after it.
        return ids + self._ordinary_ids(words[:-1]), words[-1] if words else ""

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

    def encode_iterable(self, blocks: Iterable[str]) -> Iterator[int]:
        """Yield the ids of the one text that the blocks (lines of a file, say) make together.

        The ids are those of ``encode`` wherever the blocks end; memory stays bounded.

        Raises:
            TokenizerError: as ``encode``.
        """
        for words, special in self._splitter.stream(blocks):
            yield from self._ordinary_ids(words)
            if special:
                yield self.special_tokens[special]

    def encode_batch(
        self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all", workers: int = 1
    ) -> list[list[int]]:
        """Return the ids of every text.

        Args:
            texts: any number of them.
            allowed_special: as in ``encode``.
            workers: processes that encode; several are worth it from about a megabyte on.

        Raises:
            TokenizerError: as ``encode``; or workers that could not start.
        """
        return list(encode_texts(self, texts, allowed_special, workers))

    def encode_file(
        self,
        source: Paths,
        target: str | os.PathLike[str],
        *,
        allowed_special: AllowedSpecial = "all",
        dtype: DTypeName | None = None,
        workers: int = 1,
        progress: Progress | None = None,
    ) -> int:
        """Write the ids of a text file to a ``.npy`` token file; return how many there are.

        The ids are those of one call of ``encode`` for the whole text. Between several files stands
        the id that ends a text, where there is one. The target appears whole or not at all. A
        few megabytes are held in memory, more where a text has no blank, comma or end of line for
        so long. With a pattern of one's own only special tokens are sure borders of words: what
        stands between two of them is held in memory, and encoded by one process; and where these
        take of the text around them, there are no sure borders.

        Args:
            source: the path of a UTF-8 file, or a list of paths.
            target: the path of the token file; one that is there is replaced.
            allowed_special: as in ``encode``.
            dtype: "uint16" or "uint32"; None is the smallest that holds every id.
            workers: processes that encode, while this one reads and writes; 1 is this one alone.
            progress: called with "encoding", the bytes done, and the bytes in all.

        Raises:
            TokenizerError: a file that cannot be read or is not UTF-8 (says at which byte), a text
                that ``encode`` refuses, or workers that could not start.
            CorpusError: a target that cannot be written, a ``dtype`` too small for the vocabulary,
                or no text at all.
        """
        names = self._splitter.allowed_names(allowed_special)
        at_blanks = self._words_bear_cuts and self._splitter.may_be_cut_at_blanks(names)
        behind_special = self._splitter.borders in ("both", "special")
        return encode_files(
            self,
            source,
            target,
            last_cut_in_bytes if at_blanks else last_cut_behind(names if behind_special else ()),
            allowed=allowed_special,
            dtype=dtype,
            workers=workers,
            progress=progress,
        )

    def decode(self, ids: Iterable[int], *, errors: DecodeErrors = "replace") -> str:
        """Return the text of the ids.

        Args:
            ids: any number of them.
            errors: "replace" makes U+FFFD of bytes that are no UTF-8, "strict" refuses them.

        Raises:
            TokenizerError: an unknown id, or bytes that are refused (says which and where).
        """
        if errors not in get_args(DecodeErrors):
            raise TokenizerError(f"errors is {shorten(errors)}; choose replace or strict")
        data = self.decode_bytes(ids)
        try:
            return data.decode(errors=errors)
        except UnicodeDecodeError as error:
            raise TokenizerError(
                f"the ids give no UTF-8: byte {data[error.start]:#04x} at offset "
                f'{error.start:,}; use errors="replace", or decode_bytes'
            ) from None

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
    def from_json(cls, content: JsonObject) -> Self:
        """Build the tokenizer from the content of a ``tokenizer.json``.

        Raises:
            TokenizerError: another kind, settings that would change the ids, or damage.
        """

    @abstractmethod
    def to_json(self) -> bytes:
        """Return the content of the ``tokenizer.json``."""

    def __reduce__(self) -> tuple[Any, ...]:
        # How another process gets it where it is not forked: as a file would hold it.
        return _from_file_content, (type(self), self.to_json(), self.roles)

    @property
    @abstractmethod
    def _words_bear_cuts(self) -> bool:
        """Whether ``readable.cuts`` holds for the words that the pattern makes."""

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


def _from_file_content(
    kind: type[PatternTokenizer], content: bytes, roles: TokenRoles
) -> PatternTokenizer:
    tokenizer = kind.from_json(json.loads(content))
    tokenizer.roles = roles
    return tokenizer
