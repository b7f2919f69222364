"""Roles of tokens: what begins a text, what ends it, what fills gaps, what stands for the unknown.

A tokenizer has them, and training, samples, generation, evaluation and export all ask it. They come
from the files that a tokenizer was read with, as transformers has it; a name decides only where no
file says anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_explainer.errors import LLMExplainerWarning, TokenizerError
from llm_explainer.tokenizer.base import END_OF_TEXT, UNKNOWN, Vocabulary
from llm_explainer.tokenizer.checks import shorten

Settings = Mapping[str, Any]

ROLE_KEYS = ("bos_token", "eos_token", "pad_token", "unk_token")
"""What ``tokenizer_config.json`` calls the four roles."""

_OF_FAMILY = {  # what transformers takes where config.json does not have the key
    "gpt2": {"bos_token_id": 50256, "eos_token_id": 50256},
    "llama": {"bos_token_id": 1, "eos_token_id": 2},
    "mistral": {"bos_token_id": 1, "eos_token_id": 2},
    "smollm3": {"bos_token_id": 128_000, "eos_token_id": 128_001, "pad_token_id": 128_004},
}


@dataclass(frozen=True)
class TokenRoles:
    """The ids of the tokens that are no text, but say something about it; None or () for none."""

    begin: int | None = None  # what an empty text starts from
    ends: tuple[int, ...] = ()  # each ends a text; the first stands between documents
    padding: int | None = None
    unknown: int | None = None

    @classmethod
    def by_name(cls, special_tokens: Mapping[str, int]) -> TokenRoles:
        """Return the roles in a tokenizer of which no file says anything."""
        end, unknown = special_tokens.get(END_OF_TEXT), special_tokens.get(UNKNOWN)
        return cls(end, () if end is None else (end,), None, unknown)

    @classmethod
    def ending_with(cls, end: int) -> TokenRoles:
        """Return the roles of a tokenizer with one token that ends a text and begins the next."""
        return cls(end, (end,))

    @property
    def end(self) -> int | None:
        """The token that a model learns to end a text with."""
        return self.ends[0] if self.ends else None

    def to_config(self) -> dict[str, Any]:
        """Return them as ``config.json`` says it, by id."""
        ids = self.ends[0] if len(self.ends) == 1 else list(self.ends) or None
        padding = {} if self.padding is None else {"pad_token_id": self.padding}
        return {"bos_token_id": self.begin, "eos_token_id": ids, **padding}

    def to_tokenizer_config(self, special_tokens: Mapping[str, int]) -> dict[str, str]:
        """Return them as ``tokenizer_config.json`` says it, by the names of special tokens."""
        names = {token_id: name for name, token_id in special_tokens.items()}
        ids = (self.begin, self.end, self.padding, self.unknown)
        return {key: names[i] for key, i in zip(ROLE_KEYS, ids, strict=True) if i in names}


def read_roles(
    vocabulary: Vocabulary, tokenizer_config: Settings, config: Settings, generation: Settings
) -> TokenRoles:
    """Return the roles that a directory's files give to tokens.

    ``generation_config.json`` goes first and ``config.json`` second, by which transformers' models
    begin and end; then the names in ``tokenizer_config.json``. Of several ends the one that is
    named there comes first.

    Args:
        vocabulary: the tokenizer.
        tokenizer_config: the content of that file, and so with the others; empty where missing.
        config: of the model.
        generation: ``generation_config.json``.

    Raises:
        TokenizerError: a value that is no id and no name.
    """
    family = config.get("model_type")
    defaults = _OF_FAMILY.get(family, {}) if isinstance(family, str) else {}
    special, usual = vocabulary.special_tokens.values(), vocabulary.roles
    named = {key: _named(tokenizer_config.get(key), key, vocabulary) for key in ROLE_KEYS}

    def found(role: str) -> tuple[int, ...]:
        key = f"{role}_id"
        for settings in (generation, config):
            if ids := _ids(settings.get(key), key, vocabulary.vocab_size):
                return ids
        default = None if key in config else defaults.get(key)
        candidates = (named[role], default if default in special else None)
        return tuple(token for token in candidates if token is not None)[:1]

    begin, ends, padding, unknown = map(found, ROLE_KEYS)
    if not ends:
        ends, begin = usual.ends, begin or (() if usual.begin is None else (usual.begin,))
    if named["eos_token"] in ends:  # it comes first, the others as before
        ends = tuple(sorted(ends, key=lambda end: end != named["eos_token"]))
    return TokenRoles(
        begin[0] if begin else None,
        ends,
        padding[0] if padding else None,
        unknown[0] if unknown else usual.unknown,
    )


def _ids(value: Any, key: str, vocab_size: int) -> tuple[int, ...]:
    """Return the ids in a value, an id or a list; without those that no token has."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    for token in values:
        if not isinstance(token, int) or isinstance(token, bool):
            raise TokenizerError(f"{key} is {shorten(value)}; an id is expected, or a list of ids")
    return tuple(dict.fromkeys(token for token in values if 0 <= token < vocab_size))


def _named(value: Any, key: str, vocabulary: Vocabulary) -> int | None:
    """Return the id of a name, which is given as it is or in an object with more about it."""
    name = value.get("content") if isinstance(value, dict) else value
    if name is None:
        return None
    if not isinstance(name, str):
        raise TokenizerError(f"{key} is {shorten(value)}; the name of a token is expected")
    if name in vocabulary.special_tokens:
        return vocabulary.special_tokens[name]
    for token_id, token in vocabulary.vocab.items():
        if token in (name, name.encode()):
            return token_id
    warnings.warn(
        f"tokenizer_config.json says that {key} is {shorten(name)}, which the tokenizer has no "
        "token for; that is left out",
        LLMExplainerWarning,
        stacklevel=2,
    )
    return None
