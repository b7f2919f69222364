"""What a word is before any merging: its bytes, or its characters and the bytes of those unknown.

Byte-level BPE begins with bytes. SentencePiece's begins with characters, and falls back to bytes
for what is not in its vocabulary: ``"né"`` is ``n, é``, or ``n, <0xC3>, <0xA9>``.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llm_explainer.errors import LLMExplainerWarning

NO_ID = -1
"""In the place of the id of a byte that has none; it is left out, as ``tokenizers`` does."""


@dataclass(frozen=True)
class Symbols:
    """The ids that words begin with."""

    byte_ids: Sequence[int]  # (256,)
    char_ids: Mapping[str, int] | None = None  # None where words are bytes

    @property
    def missing(self) -> bytes:
        """The bytes that have no id: most often none."""
        return bytes(byte for byte, token_id in enumerate(self.byte_ids) if token_id == NO_ID)

    def of(self, word: bytes) -> list[int]:
        """Return the ids of a word, which is UTF-8, before any merging."""
        if self.char_ids is None:
            ids = [self.byte_ids[byte] for byte in word]
            if NO_ID in ids:
                warn_of_missing(word, self.missing)
            return [token_id for token_id in ids if token_id != NO_ID]
        text = word.decode("utf-8", "surrogateescape")  # a byte may stand for a special token
        return [token_id for char in text for token_id in self._of_char(char)]

    def _of_char(self, char: str) -> list[int]:
        assert self.char_ids is not None
        token_id = self.char_ids.get(char)
        if token_id is not None:
            return [token_id]
        return [self.byte_ids[byte] for byte in char.encode("utf-8", "surrogateescape")]


def warn_of_missing(text: bytes, missing: bytes) -> None:
    """Say that a text, which has one of these bytes, loses it."""
    lost = next(byte for byte in text if byte in missing)
    warnings.warn(
        f"the tokenizer has no token for the byte 0x{lost:02x}, which is left out of the text",
        LLMExplainerWarning,
        stacklevel=2,
    )
