"""What every tokenizer can do, and how ids become text one by one."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer.readable.special_tokens import AllowedSpecial

if TYPE_CHECKING:
    from llm_explainer.tokenizer.chat_template import ChatTemplate
    from llm_explainer.tokenizer.roles import TokenRoles

END_OF_TEXT = "<|endoftext|>"
"""The end of a text for tokenizers that are trained here, and between documents in text files."""

UNKNOWN = "<|unk|>"
"""The special token for what a vocabulary lacks; byte-level BPE has no need of it."""

TokenArray = NDArray[np.unsignedinteger]  # (n,)


DecodeErrors = Literal["replace", "strict"]
"""What becomes of bytes that are no UTF-8: U+FFFD, or an error, as in ``bytes.decode``."""


def token_dtype(vocab_size: int) -> np.dtype[np.unsignedinteger]:
    """Return the smallest of uint16 and uint32 that holds every id."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


class StreamDecoder:
    """Decodes ids as they come: all that ``push`` and ``finish`` returned, joined, is ``decode``.

    The bytes of one character may be spread over several tokens; what is incomplete is kept back.

    Args:
        token_bytes: takes an id, and whether it is the first, and returns its UTF-8 bytes.
    """

    def __init__(self, token_bytes: Callable[[int, bool], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._at_start = True

    def push(self, token_id: int) -> str:
        """Take the next id; return the characters that are complete now, perhaps none.

        Raises:
            TokenizerError: an unknown id.
        """
        data = self._token_bytes(token_id, self._at_start)
        self._at_start = False
        return self._decoder.decode(data)

    def finish(self) -> str:
        """Return what is left (U+FFFD for half a character) and be ready for another text."""
        self._at_start = True
        return self._decoder.decode(b"", final=True)


class Vocabulary(Protocol):
    """What has to be known of a tokenizer to find the tokens that files name."""

    roles: TokenRoles  # which token begins a text, which end one, and so on

    @property
    def vocab_size(self) -> int:
        """How many ids there are: 0 to ``vocab_size - 1``."""

    @property
    def vocab(self) -> Mapping[int, bytes] | Mapping[int, str]:
        """The token of every id."""

    @property
    def special_tokens(self) -> Mapping[str, int]:
        """The id of every special token."""


class Tokenizer(Vocabulary, Protocol):
    """The interface of ``BPETokenizer``, ``ByteFallbackTokenizer`` and the simpler ones."""

    chat_template: ChatTemplate | None  # stored with it; None for the one in plain words
    prefix: tuple[int, ...]  # ids that its file puts before every text; ``encode`` leaves them out

    @property
    def end_of_text(self) -> int | None:
        """The id that a text ends with, ``roles.end``, or None."""

    @property
    def name_of_end(self) -> str | None:
        """That token as text, such as ``<|endoftext|>``, or None."""

    def encode(self, text: str, *, allowed_special: AllowedSpecial = "all") -> list[int]:
        """Return the ids of a text; allowed special tokens in it become their id."""

    def encode_array(self, text: str, *, allowed_special: AllowedSpecial = "all") -> TokenArray:
        """Return the ids of a text as an array of uint16, or of uint32 past 65,536 ids."""

    def encode_ordinary(self, text: str) -> list[int]:
        """Return the ids of a text in which special tokens are text like any other."""

    def encode_iterable(self, blocks: Iterable[str]) -> Iterator[int]:
        """Yield the ids of the text that the blocks make together."""

    def encode_batch(
        self, texts: Iterable[str], *, allowed_special: AllowedSpecial = "all", workers: int = 1
    ) -> list[list[int]]:
        """Return the ids of every text."""

    def decode(self, ids: Iterable[int], *, errors: DecodeErrors = "replace") -> str:
        """Return the text of the ids; bytes that are no UTF-8 become U+FFFD, or are refused."""

    def stream_decoder(self) -> StreamDecoder:
        """Return a decoder that takes one id after the other."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a ``tokenizer.json``."""
