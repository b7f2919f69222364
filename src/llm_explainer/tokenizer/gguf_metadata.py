"""Tokenizers from the metadata of a GGUF file, which has their parts but not their steps.

A GGUF names the split by a word, ``tokenizer.ggml.pre``, that stands for code in llama.cpp; what
the code does for the words known here is the same as one of our patterns. Every other word is
refused: with another split a model reads other tokens than it has learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.tokenizer.bpe import BPETokenizer
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.bpe_json import read_merges, token_from_text
from llm_explainer.tokenizer.files.tokenizer_json import MOST_IDS
from llm_explainer.tokenizer.readable.special_tokens import TokenFlags
from llm_explainer.tokenizer.roles import TokenRoles

_PREFIX = "tokenizer.ggml."
_CONTROL, _USER_DEFINED, _UNUSED = 3, 4, 5  # of the types that tokens have; 1 is an ordinary one


class _Split(NamedTuple):
    """What a word for the split means."""

    pattern: str
    ignore_merges: bool = False
    composes: bool = (
        False  # llama.cpp leaves NFC out, the tokenizer that the model has learned with
    )
    begins: bool = False  # whether a text begins with a token where the file does not say


_SPLITS = {
    "gpt-2": _Split("gpt2"),
    "llama-bpe": _Split("llama3", ignore_merges=True, begins=True),
    "llama3": _Split("llama3", ignore_merges=True, begins=True),
    "llama-v3": _Split("llama3", ignore_merges=True, begins=True),
    "qwen2": _Split("qwen", composes=True),
    "smollm": _Split("smollm"),
    "starcoder": _Split("smollm"),
    "refact": _Split("smollm"),
}


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """Return the tokenizer that a GGUF's metadata describe, with its roles.

    Args:
        metadata: every key of the file with a plain value: text, number, bool, or a list of these.

    Raises:
        TokenizerError: a kind or a split that is not followed, values of the wrong type, or parts
            that do not fit together.
    """
    kind = _value(metadata, "model", str)
    if kind != "gpt2":
        raise TokenizerError(f"{_PREFIX}model is {shorten(kind)}; only gpt2 is supported")
    tokens = _list(metadata, "tokens", str)
    types = _list(metadata, "token_type", int, len(tokens))
    name = _value(metadata, "pre", str)
    if name not in _SPLITS:
        raise TokenizerError(
            f"{_PREFIX}pre is {shorten(name)}, a split that is not known here; known are "
            f"{', '.join(_SPLITS)}"
        )
    split = _SPLITS[name]
    special = {token: i for i, token in enumerate(tokens) if types[i] in (_CONTROL, _USER_DEFINED)}
    ordinary = [i for i, kind_of in enumerate(types) if kind_of == 1]
    for i, kind_of in enumerate(types):
        if kind_of not in (1, _CONTROL, _USER_DEFINED, _UNUSED):
            raise TokenizerError(
                f"token {shorten(tokens[i])} is of type {kind_of}, unknown to gpt2"
            )
    tokenizer = BPETokenizer(
        {i: token_from_text(tokens[i]) for i in ordinary},
        read_merges(_list(metadata, "merges", str)),
        special,
        split.pattern,
        split.ignore_merges,
        prefix=_prefix(metadata, split.begins, special),
        flags={
            tokens[i]: TokenFlags(special=False)
            for i in special.values()
            if types[i] == _USER_DEFINED
        },
        composes=split.composes,
        lacks_bytes=not split.ignore_merges,
    )
    tokenizer.roles = _roles(metadata)
    return tokenizer


def _roles(metadata: Mapping[str, Any]) -> TokenRoles:
    ends = [_id(metadata, key) for key in ("eos", "eot", "eom")]
    return TokenRoles(
        _id(metadata, "bos"),
        tuple(dict.fromkeys(end for end in ends if end is not None)),
        _id(metadata, "padding"),
        _id(metadata, "unknown"),
    )


def _prefix(
    metadata: Mapping[str, Any], begins: bool, special: Mapping[str, int]
) -> tuple[int, ...]:
    """Return the ids before every text."""
    if _flag(metadata, "add_eos_token", False):
        raise TokenizerError(f"{_PREFIX}add_eos_token is true; tokens behind a text are refused")
    begin = _id(metadata, "bos")
    if not _flag(metadata, "add_bos_token", begins):
        return ()
    if begin is None or begin not in special.values():
        raise TokenizerError(
            f"{_PREFIX}bos_token_id is {begin}; a text begins with it, and it is no control token"
        )
    return (begin,)


def _id(metadata: Mapping[str, Any], role: str) -> int | None:
    key = f"{role}_token_id"
    if _PREFIX + key not in metadata:
        return None
    token_id = _value(metadata, key, int)
    n_tokens = len(metadata[f"{_PREFIX}tokens"])
    if not 0 <= token_id < n_tokens:
        raise TokenizerError(f"{_PREFIX}{key} is {token_id}; ids are 0 to {n_tokens - 1}")
    return int(token_id)


def _flag(metadata: Mapping[str, Any], key: str, default: bool) -> bool:
    value = metadata.get(_PREFIX + key, default)
    if not isinstance(value, bool):
        raise TokenizerError(f"{_PREFIX}{key} is {shorten(value)}; true or false is expected")
    return value


def _value(metadata: Mapping[str, Any], key: str, kind: type) -> Any:
    value = metadata.get(_PREFIX + key)
    if not isinstance(value, kind) or isinstance(value, bool):
        what = "a text" if kind is str else "a whole number"
        raise TokenizerError(f"{_PREFIX}{key} is {shorten(value)}; {what} is expected")
    return value


def _list(metadata: Mapping[str, Any], key: str, kind: type, length: int = -1) -> Sequence[Any]:
    values = metadata.get(_PREFIX + key)
    if not isinstance(values, list) or not all(type(value) is kind for value in values):
        raise TokenizerError(
            f"{_PREFIX}{key} is {shorten(values)}; a list of {kind.__name__} is due"
        )
    if length >= 0 and len(values) != length:
        raise TokenizerError(f"{_PREFIX}{key} has {len(values)} entries for {length} tokens")
    if len(values) > MOST_IDS:
        raise TokenizerError(f"{_PREFIX}{key} has {len(values)} entries, more than {MOST_IDS}")
    return values
