"""What a trace reads: a model's parameters, a text's ids, and the bytes of each token."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from llm_explainer.adapters import merge_lora
from llm_explainer.config import ModelConfig
from llm_explainer.errors import GenerationError
from llm_explainer.generation.prompts import Prompt, check_prompt, encode_prompt
from llm_explainer.machine import available_memory
from llm_explainer.plain.contract import Array, as_numpy
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tree import Tree, flatten, unflatten


def read_parameters(model: Any, dtype: DTypeLike) -> tuple[Tree, ModelConfig]:
    """Return a model's parameters as NumPy arrays of one type, and what they are arranged by.

    Adapters are merged into the weights, which computes the same.

    Raises:
        GenerationError: weights that are kept in fewer bits, on MLX.
    """
    if model.lora is not None:
        model = merge_lora(model)
    kinds = {str(each.dtype).rpartition(".")[2] for each in flatten(model.parameters()).values()}
    if other := kinds - {"float32", "float64"}:
        raise GenerationError(
            f"the model's weights are kept in {' and '.join(sorted(other))}; a trace takes a model "
            "that was loaded in float32"
        )
    parameters = as_numpy(model.parameters())
    flat = {name: array.astype(dtype, copy=False) for name, array in flatten(parameters).items()}
    return unflatten(flat, like=parameters), model.config


def read_ids(tokenizer: Tokenizer, text: Prompt, config: ModelConfig) -> Array:
    """Return the ids (T,) of a text, or ids as they are.

    Raises:
        GenerationError: none, more than the context holds, or one that the model does not know.
        TokenizerError: text that the tokenizer cannot encode.
    """
    ids = check_prompt(encode_prompt(tokenizer, text), config.vocab_size)
    if not ids:
        raise GenerationError("the text to trace is empty; give one of one token or more")
    if len(ids) > config.context_length:
        raise GenerationError(
            f"the text has {len(ids)} tokens and the model's context only "
            f"{config.context_length}; shorten it"
        )
    return np.array(ids)


def one_token(tokenizer: Tokenizer, text: str) -> int:
    """Return the id of a text that is one token, such as " fox".

    A token of exactly these bytes first: some tokenizers put a space before every text.

    Raises:
        GenerationError: it is none, or several.
        TokenizerError: text that the tokenizer cannot encode.
    """
    ids = tokenizer.encode(text)
    same = [i for i in tokenizer.vocab if piece_of(tokenizer, i) == text.encode()]
    if same:
        return ids[0] if ids[:1] in [[i] for i in same] else same[-1]
    if len(ids) == 1:
        return ids[0]
    if not ids:
        raise GenerationError("the token to explain is empty; give one, such as ' fox'")
    pieces = [piece_of(tokenizer, i).decode("utf-8", "backslashreplace") for i in ids]
    raise GenerationError(
        f"{shorten(text)} is {len(ids)} tokens to this model: {shorten(pieces)}; give one of them"
    )


def piece_of(tokenizer: Tokenizer, token: int) -> bytes:
    """Return the UTF-8 bytes of a token, perhaps only a part of a character.

    Empty for an id that the model has and its tokenizer has not: vocabularies are padded.
    """
    vocab: Any = tokenizer.vocab
    piece: bytes | str = vocab[token] if token < tokenizer.vocab_size else b""
    return piece.encode() if isinstance(piece, str) else piece


def check_memory(config: ModelConfig, n_tokens: int, dtype: DTypeLike) -> None:
    """Refuse a text whose results and gradients do not fit the memory that is free.

    Raises:
        GenerationError: says how much it would take.
    """
    needed, free = needed_bytes(config, n_tokens, dtype), available_memory()
    if needed > free:
        raise GenerationError(
            f"to trace {n_tokens} tokens takes about {needed / 1e9:,.1f} GB, and "
            f"{free / 1e9:,.1f} GB are free; shorten the text"
        )


def needed_bytes(config: ModelConfig, n_tokens: int, dtype: DTypeLike) -> int:
    """Return about how much a trace takes: results, gradients, and what is kept between them."""
    of_a_layer = 20 * config.d_model + 10 * config.d_ff + 16 * config.attention_width
    of_a_layer += 6 * config.n_heads * n_tokens  # squares: scores, weights and their gradients
    numbers = n_tokens * (config.n_layers * of_a_layer + 8 * config.vocab_size)
    numbers += 2 * config.count_parameters()  # their gradients, and a sum on the way there
    return numbers * np.dtype(dtype).itemsize
