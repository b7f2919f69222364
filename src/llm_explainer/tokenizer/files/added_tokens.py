"""Added tokens in a ``tokenizer.json``: names, ids, and how each is looked for in a text."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, fields

from llm_explainer.errors import LLMExplainerWarning, TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.tokenizer_json import (
    JsonObject,
    expect,
    refuse_other_keys,
    require,
)
from llm_explainer.tokenizer.readable.special_tokens import TokenFlags

_FLAGS = tuple(field.name for field in fields(TokenFlags))


def read_added_tokens(content: JsonObject) -> tuple[dict[str, int], dict[str, TokenFlags]]:
    """Return the added tokens of a file, by id; and the flags of those that have other than most.

    Raises:
        TokenizerError: wrong types, or a name that is there twice.
    """
    ids: dict[str, int] = {}
    flags: dict[str, TokenFlags] = {}
    for entry in expect(content.get("added_tokens", []), list, "added_tokens"):
        entry = expect(entry, dict, "an added token")
        name = expect(entry.get("content"), str, "the content of an added token")
        refuse_other_keys(entry, ("id", "content", *_FLAGS), f"added token {shorten(name)}")
        for flag in _FLAGS:
            require(entry.get(flag, False), (False, True), f"{flag} of {shorten(name)}")
        if name in ids:
            raise TokenizerError(f"special token {shorten(name)} is listed twice")
        ids[name] = expect(entry.get("id"), int, f"the id of {shorten(name)}")
        found = {"normalized": not entry.get("special", False), "special": False, **entry}
        how = TokenFlags(**{flag: found[flag] for flag in _FLAGS if flag in found})
        if how != TokenFlags():
            flags[name] = how
    return dict(sorted(ids.items(), key=lambda item: item[1])), flags


def warn_of_holes(content: JsonObject, vocab: Mapping[str, int]) -> None:
    """Warn of added tokens that ``tokenizers`` would number otherwise than the file says.

    One that the vocabulary lacks has the file's id here, which may leave a hole before it;
    ``tokenizers`` gives it the next id that is free, without a word.
    """
    last = -1  # of the added tokens
    for entry in content.get("added_tokens", []):
        name, token_id = entry["content"], entry["id"]
        anew = vocab.get(name, max(len(vocab), last + 1))
        if token_id != anew:
            warnings.warn(
                f"added token {shorten(name)} has the id {token_id} here, as the file says; "
                f"Hugging Face's tokenizers would number it {anew}",
                LLMExplainerWarning,
                stacklevel=2,
            )
        last = max(last, anew)


def added_tokens_to_json(
    ids: Mapping[str, int], flags: Mapping[str, TokenFlags]
) -> list[JsonObject]:
    """Return the entries of a file."""
    order = ("single_word", "lstrip", "rstrip", "normalized", "special")
    return [
        {
            "id": token_id,
            "content": name,
            **{flag: asdict(flags.get(name, TokenFlags()))[flag] for flag in order},
        }
        for name, token_id in ids.items()
    ]
