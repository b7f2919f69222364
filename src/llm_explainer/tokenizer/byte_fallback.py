"""SentencePiece's byte-pair encoding: characters, with bytes for those that it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.byte_fallback_json import (
    ByteFallbackParts,
    byte_fallback_from_json,
    byte_fallback_to_json,
)
from llm_explainer.tokenizer.files.tokenizer_json import JsonObject
from llm_explainer.tokenizer.merging_tokenizer import MergingTokenizer
from llm_explainer.tokenizer.readable.dressing import Dressing, Spaces
from llm_explainer.tokenizer.readable.special_tokens import TokenFlags
from llm_explainer.tokenizer.readable.symbols import Symbols

_AT_EACH_SPACE = r" [^ ]*|[^ ]+"
_BEHIND_WORDS = r" *[^ ]+| +"
_NOWHERE = r"[\s\S]+"
_SPACE_INSIDE = re.compile(rb"[^ ] ")


class ByteFallbackTokenizer(MergingTokenizer):
    """The kind of Llama 2, TinyLlama and Mistral (Kudo and Richardson 2018).

    A word begins with its space, and so does the first one of a text, where ``spaces`` has it so;
    ``▁`` in a text is a space. Merges begin with characters; one without a token is its bytes.

    A whole text is one word to SentencePiece. Where no token has a space behind anything else, no
    merge ever reaches from a word into the next, so that words are merged apart with the same ids.

    Args:
        vocab: the text of every ordinary id, as UTF-8; no id of a byte.
        byte_ids: the ids of the 256 bytes.
        merges: pairs of tokens in the order of learning.
        special_tokens: names and ids beside those.
        spaces: see ``readable.dressing``.
        cuts_at_spaces: words never have more than the one space that they begin with.
        strips: decoded text loses the space that it begins with.
        prefix: ids of special tokens that a file puts before every text; see ``BPETokenizer``.
        flags: of special tokens, where they have any.
        unknown: the name of a token that files have for what none other stands for.

    Raises:
        TokenizerError: parts that do not fit together.
    """

    def __init__(
        self,
        vocab: Mapping[int, bytes],
        byte_ids: Sequence[int],
        merges: Sequence[tuple[bytes, bytes]],
        special_tokens: Mapping[str, int],
        spaces: Spaces,
        cuts_at_spaces: bool = False,
        strips: bool = True,
        *,
        prefix: Sequence[int] = (),
        flags: Mapping[str, TokenFlags] | None = None,
        unknown: str | None = None,
    ) -> None:
        self.byte_ids, self.strips, self.unknown = list(byte_ids), strips, unknown
        self.cuts_at_spaces = cuts_at_spaces
        is_open = any(_SPACE_INSIDE.search(token) for token in vocab.values())
        behind = _NOWHERE if is_open else _BEHIND_WORDS
        super().__init__(
            {**vocab, **{token_id: bytes([byte]) for byte, token_id in enumerate(byte_ids)}},
            merges,
            special_tokens,
            _AT_EACH_SPACE if cuts_at_spaces else behind,
            ignore_merges=False,
            keeps_gaps=True,
            prefix=prefix,
            flags=flags,
            dressing=Dressing(spaces=spaces),
        )

    def _ids_of_tokens(self, vocab: Mapping[int, bytes]) -> dict[bytes, int]:
        ids: dict[bytes, int] = {}
        of_bytes = set(self.byte_ids)
        for token_id, token in vocab.items():
            if token_id not in of_bytes:
                if token in ids or not token:
                    raise TokenizerError(f"token {shorten(token)} is empty or has two ids")
                ids[token] = token_id
        if len(of_bytes) != 256:
            raise TokenizerError(f"{len(of_bytes)} ids are given for the 256 bytes")
        if b" " not in ids:
            raise TokenizerError("the space has no token, which words begin with")
        return ids

    def _symbols(self, vocab: Mapping[int, bytes]) -> Symbols:
        texts = {token.decode(): token_id for token, token_id in self._ids.items()}
        return Symbols(self.byte_ids, {text: i for text, i in texts.items() if len(text) == 1})

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Return the UTF-8 bytes of the ids, without the space that the first word has.

        Bytes that are no UTF-8 are as they are. Of a run of byte tokens that is none,
        ``tokenizers`` makes as many U+FFFD as there are bytes, ``decode`` no more than needed.
        """
        data = super().decode_bytes(ids)
        return data[1:] if self.strips and data.startswith(b" ") else data

    def _token_bytes(self, token_id: int, first: bool) -> bytes:
        data = super()._token_bytes(token_id, first)
        return data[1:] if first and self.strips and data.startswith(b" ") else data

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """Build the tokenizer from a ``tokenizer.json`` of this kind.

        Raises:
            TokenizerError: another kind, settings that would change the ids, or damage.
        """
        return cls(**vars(byte_fallback_from_json(content)))  # whose fields are the arguments

    def to_json(self) -> bytes:
        """Return the content of the ``tokenizer.json``."""
        of_bytes = set(self.byte_ids)
        spaces = self.dressing.spaces
        assert spaces is not None  # see __init__
        return byte_fallback_to_json(
            ByteFallbackParts(
                {i: token for i, token in self.ordinary_vocab().items() if i not in of_bytes},
                self.byte_ids,
                self.merges,
                self.special_tokens,
                spaces,
                self.cuts_at_spaces,
                self.strips,
                self.prefix,
                self.flags,
                self.unknown,
            )
        )
