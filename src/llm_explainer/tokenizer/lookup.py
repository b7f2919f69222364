"""The simplest tokenizers: a list of everything that occurs, and an id for each entry."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Self

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.base import UNKNOWN
from llm_explainer.tokenizer.checks import check_text, shorten
from llm_explainer.tokenizer.files.added_tokens import added_tokens_to_json, read_added_tokens
from llm_explainer.tokenizer.files.tokenizer_json import (
    TOP_LEVEL_KEYS,
    JsonObject,
    expect,
    ordinary_tokens,
    pattern_of_split,
    read_vocab,
    refuse_other_keys,
    require,
    require_own_ids,
    split_by,
    to_bytes,
)
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable.splitting import Splitter


class LookupTokenizer(PatternTokenizer):
    """A vocabulary of whole characters or whole words.

    What the vocabulary lacks becomes the token ``unknown`` where there is one, and is refused by
    name where there is none.

    Args:
        vocab: the text of every ordinary id.
        special_tokens: names and ids beside those of ``vocab``.
        unknown: the token that stands for whatever has no id.

    Raises:
        TokenizerError: parts that do not fit together.
    """

    unit: ClassVar[str]  # what a token is, for messages
    pattern: ClassVar[str]  # matches one token
    lossless: ClassVar[bool]  # whether the pattern matches all of every text
    decoder: ClassVar[JsonObject]  # how Hugging Face's software puts tokens together again

    def __init__(
        self,
        vocab: Mapping[int, str],
        special_tokens: Mapping[str, int],
        unknown: str = UNKNOWN,
    ) -> None:
        splitter = Splitter(self.pattern, special_tokens, lossless=self.lossless)
        super().__init__(splitter, special_tokens)
        self.vocab: dict[int, str] = {**vocab, **{i: name for name, i in special_tokens.items()}}
        require_own_ids([*vocab, *special_tokens.values()])
        self._ids: dict[str, int] = {}
        for token_id, token in vocab.items():
            check_text(token)
            if splitter.words(token) != [token]:
                raise TokenizerError(f"token {shorten(token)} is not one {self.unit}")
            if token in self._ids or token in special_tokens:
                raise TokenizerError(f"token {shorten(token)} has two ids")
            self._ids[token] = token_id
        self.unknown = unknown
        self._id_of_unknown = special_tokens.get(unknown, self._ids.get(unknown))
        self.roles = replace(self.roles, unknown=self._id_of_unknown)

    @classmethod
    def from_json(cls, content: JsonObject) -> Self:
        """Build the tokenizer from the content of its ``tokenizer.json``.

        Raises:
            TokenizerError: another kind, or damage.
        """
        model = expect(content.get("model"), dict, "model")
        require(model.get("type"), ("WordLevel",), "model.type")
        refuse_other_keys(model, ("type", "vocab", "unk_token"), "model")
        refuse_other_keys(content, TOP_LEVEL_KEYS, "tokenizer.json")
        for part in ("truncation", "padding", "normalizer", "post_processor"):
            require(content.get(part), (None,), part)
        split = expect(content.get("pre_tokenizer"), dict, "pre_tokenizer")
        require(pattern_of_split(split, "Removed", True), (cls.pattern,), "pattern of Split")
        if content.get("decoder") != cls.decoder:
            raise TokenizerError(f"decoder is not that of {cls.unit}s as they are saved here")
        special_tokens, flags = read_added_tokens(content)
        if flags:
            raise TokenizerError(
                f"the flags of added token {shorten(next(iter(flags)))} are not followed here"
            )
        unknown = expect(model.get("unk_token", UNKNOWN), str, "model.unk_token")
        return cls(ordinary_tokens(read_vocab(model), special_tokens), special_tokens, unknown)

    def to_json(self) -> bytes:
        """Return the content of the ``tokenizer.json``."""
        ids = {token: token_id for token_id, token in self.vocab.items()}
        return to_bytes(
            model={"type": "WordLevel", "vocab": ids, "unk_token": self.unknown},
            pre_tokenizer=split_by(self.pattern, "Removed", True),
            decoder=self.decoder,
            added_tokens=added_tokens_to_json(self.special_tokens, {}),
        )

    @classmethod
    def _from_tokens(cls, tokens: Iterable[str], special_tokens: Sequence[str]) -> Self:
        """Give ids in the order of code points, and the last ones to the special tokens."""
        vocab = dict(enumerate(sorted(tokens)))
        return cls(vocab, {name: len(vocab) + i for i, name in enumerate(special_tokens)})

    @property
    def _words_bear_cuts(self) -> bool:
        return True  # white space and commas are characters, and no part of words

    def _word_ids(self, word: str) -> list[int]:
        token_id = self._ids.get(word, self._id_of_unknown)
        if token_id is None:
            raise TokenizerError(
                f"{self.unit} {shorten(word)} is not in the vocabulary of {self.vocab_size}; train "
                f"on text that has it, or with {self.unknown} among the special tokens"
            )
        return [token_id]

    def _token_bytes(self, token_id: int, first: bool) -> bytes:
        try:
            token = self.vocab[token_id]
        except (KeyError, TypeError):
            raise self._unknown_id(token_id) from None
        return (token if first else self._joined(token)).encode()

    @abstractmethod
    def _joined(self, token: str) -> str:
        """Return the token as it follows on another one."""
