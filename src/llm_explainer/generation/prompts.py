"""From what a caller gives as a prompt to the ids that a model starts from."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from llm_explainer.errors import GenerationError, TokenizerError
from llm_explainer.tokenizer.base import Tokenizer

Prompt = str | Sequence[int]
"""A text, or its ids."""


def encode_prompt(tokenizer: Tokenizer, prompt: Prompt, *, begins: bool = True) -> Sequence[int]:
    """Return the ids of a prompt, ids as they are; special tokens in a text become their id.

    What a tokenizer's file puts before every text comes first where the text ``begins`` here.

    Raises:
        TokenizerError: text that the tokenizer cannot encode.
    """
    if not isinstance(prompt, str):
        return prompt
    ids = tokenizer.encode(prompt)
    return with_prefix(tokenizer, ids) if begins else ids


def with_prefix(tokenizer: Tokenizer, ids: list[int]) -> list[int]:
    """Return ids behind what the tokenizer's file puts before every text, unless it is there."""
    prefix = list(tokenizer.prefix)
    return ids if ids[: len(prefix)] == prefix else prefix + ids


def check_prompt(ids: Sequence[int], vocab_size: int) -> list[int]:
    """Return the ids as a list of Python's integers, each of them under ``vocab_size``.

    Raises:
        GenerationError: an id out of range, or something that is no list of ids.
    """
    try:
        checked = [operator.index(token) for token in ids]
    except TypeError:
        raise GenerationError(
            f"the prompt is of type {type(ids).__name__}; it takes a text or a list of ids"
        ) from None
    for token in checked:
        if not 0 <= token < vocab_size:
            raise GenerationError(
                f"the prompt has the token id {token}; this model knows 0 to {vocab_size - 1}"
            )
    return checked


def starting_id(tokenizer: Tokenizer) -> int:
    """Return what an empty prompt starts from: what begins a text, or the end of the line before.

    A model that learned from one continuous text has seen no beginning.

    Raises:
        GenerationError: the tokenizer has neither such a token nor a line break.
    """
    if tokenizer.roles.begin is not None:
        return tokenizer.roles.begin
    try:
        return tokenizer.encode("\n")[-1]
    except (TokenizerError, IndexError):
        raise GenerationError(
            "the prompt is empty, and this model's tokenizer has neither a token that begins a "
            "text nor a line break to start from; give a prompt of one character or more"
        ) from None


def fit_context(
    ids: list[int], context_length: int, *, windowed: bool
) -> tuple[list[int], str | None]:
    """Return the ids that fit the context, and a notice where that is not all of them.

    Raises:
        GenerationError: too many ids, and not ``windowed``.
    """
    if len(ids) <= context_length:
        return ids, None
    if not windowed:
        raise GenerationError(
            f"the prompt has {len(ids)} tokens and the model's context only {context_length}; "
            "shorten it, or keep only its end with --windowed (windowed=True)"
        )
    return ids[-context_length:], (
        f"the prompt has {len(ids)} tokens; the model reads only the last {context_length} of them"
    )
