"""From what a caller gives as a prompt to the ids that a model starts from."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from llm_explainer.errors import GenerationError, TokenizerError
from llm_explainer.tokenizer.base import END_OF_TEXT, Tokenizer

Prompt = str | Sequence[int]
"""A text, or its ids."""


def encode_prompt(tokenizer: Tokenizer, prompt: Prompt) -> Sequence[int]:
    """Return the ids of a prompt, ids as they are; special tokens in a text become their id.

    What a tokenizer's file puts before every text comes first, unless the text begins with it.

    Raises:
        TokenizerError: text that the tokenizer cannot encode.
    """
    if not isinstance(prompt, str):
        return prompt
    ids, prefix = tokenizer.encode(prompt), list(tokenizer.prefix)
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
    """Return what an empty prompt starts from: the end of the text before, or of the line before.

    Raises:
        GenerationError: the tokenizer knows neither ``<|endoftext|>`` nor a line break.
    """
    if tokenizer.end_of_text is not None:
        return tokenizer.end_of_text
    try:
        return tokenizer.encode("\n")[-1]
    except (TokenizerError, IndexError):
        raise GenerationError(
            f"the prompt is empty, and this model's tokenizer has neither {END_OF_TEXT} nor a line "
            "break to start from; give a prompt of one character or more"
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
