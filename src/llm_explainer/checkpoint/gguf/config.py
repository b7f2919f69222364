"""A GGUF's settings in the words of ``config.json``, which are then read as any other's.

A setting that we do not know is refused by name, as there: it may change what the model computes.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from llm_explainer.checkpoint.gguf.header import Header
from llm_explainer.checkpoint.gguf.tensors import ROPE_FACTORS, read_bytes, read_stored
from llm_explainer.checkpoint.hf_config import from_document
from llm_explainer.checkpoint.layouts import Container
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError
from llm_explainer.rope_frequencies import rope_frequencies
from llm_explainer.rope_scaling import RopeScaling

TYPES: dict[str, Container] = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gpt2": "gpt2"}
"""The ``model_type`` of each architecture of llama.cpp that we read."""

TURNED = ("llama",)
"""Those whose files have the rows of queries and keys in llama.cpp's order."""

_SHARED = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.key_length": "head_dim",
    "rope.freq_base": "rope_theta",
}
_GPT2 = {
    "context_length": "n_positions",
    "embedding_length": "n_embd",
    "block_count": "n_layer",
    "feed_forward_length": "n_inner",
    "attention.head_count": "n_head",
    "attention.layer_norm_epsilon": "layer_norm_epsilon",
}
_CHECKED = (
    *("attention.value_length", "rope.dimension_count", "vocab_size"),
    *("rope.scaling.type", "rope.scaling.factor", "rope.scaling.original_context_length"),
    *("rope.scaling.finetuned", "rope.scaling.attn_factor"),
    *("rope.scaling.yarn_beta_fast", "rope.scaling.yarn_beta_slow"),
)
_NOT_OF_THE_MODEL = re.compile(r"(general|tokenizer|quantize|mradermacher)\..*|split\.(no|count)")
_FACTORS, _ORIGINAL = (8.0, 32.0, 4.0, 16.0, 2.0, 64.0), 8192  # what Llama 3.1 and 3.2 have


def read_config(path: Path, header: Header) -> tuple[Container, ModelConfig]:
    """Return the kind of a GGUF's model, and the model that it describes.

    Raises:
        CheckpointError: damaged, or a model that we cannot build.
    """
    values = header.values
    architecture = values.get("general.architecture")
    if not isinstance(architecture, str) or architecture not in TYPES:
        known = ", ".join(TYPES)
        raise CheckpointError(f"{path}: general.architecture is {architecture!r}; {known} are read")
    if values.get("split.count", 1) not in (0, 1):
        raise CheckpointError(f"{path} is one of several parts; merge them with llama-gguf-split")
    names = _GPT2 if architecture == "gpt2" else _SHARED
    document = _document(path, header, architecture, names)
    return from_document(document, path)


def _document(
    path: Path, header: Header, architecture: str, names: dict[str, str]
) -> dict[str, Any]:
    values, own = header.values, {}
    for name, value in values.items():
        short = name.removeprefix(f"{architecture}.")
        if short != name and short in (*names, *_CHECKED):
            own[short] = value
        elif not _NOT_OF_THE_MODEL.fullmatch(name):
            raise CheckpointError(f"{path}: {name} is not known here; its effect would be missed")
    document = {theirs: own[short] for short, theirs in names.items() if short in own}
    document["model_type"] = TYPES[architecture]
    document["vocab_size"] = _vocab_size(path, header, own)
    document["tie_word_embeddings"] = _is_tied(path, header)
    if architecture == "gpt2":
        return document
    heads = document.get("num_attention_heads")
    document.setdefault("num_key_value_heads", heads)
    if isinstance(heads, int) and heads > 0 and isinstance(own.get("embedding_length"), int):
        document.setdefault("head_dim", own["embedding_length"] // heads)
    for key in ("attention.value_length", "rope.dimension_count"):
        if key in own and own[key] != document.get("head_dim"):
            _refuse(path, key, own[key], f"as wide as a head, {document.get('head_dim')}")
    has_bias = "blk.0.attn_q.bias" in header.tensors
    if architecture == "llama" and has_bias:
        document |= {"attention_bias": True, "mlp_bias": "blk.0.ffn_down.bias" in header.tensors}
    if (rule := _rule(path, header, own, document)) is not None:
        document["rope_scaling"] = rule
    return document


def _vocab_size(path: Path, header: Header, own: dict[str, Any]) -> Any:
    """Return the rows of the embedding, which a setting or the tokenizer must not contradict."""
    table = header.tensors.get("token_embd.weight")
    if table is None:
        raise CheckpointError(f"{path}: the tensor 'token_embd.weight' is missing")
    said = own.get("vocab_size", table.shape[0])
    if said != table.shape[0]:
        _refuse(path, "vocab_size", said, f"the rows of token_embd, {table.shape[0]}")
    return table.shape[0]


def _is_tied(path: Path, header: Header) -> bool:
    """Return whether the head is the embedding: it is left out, or is there as a copy."""
    head, table = (header.tensors.get(name) for name in ("output.weight", "token_embd.weight"))
    if head is None or table is None:
        return head is None
    is_alike = (head.shape, head.kind) == (table.shape, table.kind)
    return is_alike and np.array_equal(read_bytes(path, head), read_bytes(path, table))


def _rule(
    path: Path, header: Header, own: dict[str, Any], document: dict[str, Any]
) -> dict[str, Any] | None:
    """Return RoPE's rule as ``config.json`` has it; None where there is none."""
    kind = own.get("rope.scaling.type", "none")
    if ROPE_FACTORS in header.tensors:
        return _llama3_rule(path, header, document)
    if kind == "none":
        return None
    rule = {"rope_type": kind, "factor": own.get("rope.scaling.factor")}
    if kind == "yarn":
        rule["original_max_position_embeddings"] = own.get("rope.scaling.original_context_length")
        rule["beta_fast"] = own.get("rope.scaling.yarn_beta_fast", 32.0)
        rule["beta_slow"] = own.get("rope.scaling.yarn_beta_slow", 1.0)
        if own.get("rope.scaling.attn_factor", 1.0) != 1.0:
            _refuse(path, "rope.scaling.attn_factor", own["rope.scaling.attn_factor"], "1")
    return rule


def _llama3_rule(path: Path, header: Header, document: dict[str, Any]) -> dict[str, Any]:
    """Return the numbers of Llama 3's rule, of which the file holds what they come to.

    It says by what each frequency is divided, and not why. Of the numbers that Meta's models have,
    those are taken which make the same divisors.
    """
    divisors = read_stored(path, header.tensors[ROPE_FACTORS])
    width, theta = document.get("head_dim"), document.get("rope_theta", 10_000.0)
    if isinstance(width, int) and isinstance(theta, float) and divisors.shape == (width // 2,):
        plain, _ = rope_frequencies(width, theta)
        for factor in _FACTORS:
            scaling = RopeScaling(rule="llama3", factor=factor, original_context=_ORIGINAL)
            slowed, _ = rope_frequencies(width, theta, scaling)
            if np.allclose(plain / slowed, divisors, rtol=1e-4):
                return {
                    "rope_type": "llama3",
                    "factor": factor,
                    "low_freq_factor": scaling.low_freq_factor,
                    "high_freq_factor": scaling.high_freq_factor,
                    "original_max_position_embeddings": _ORIGINAL,
                }
    raise CheckpointError(f"{path}: {ROPE_FACTORS} are divisors of a rule that is not known here")


def _refuse(path: Path, key: str, value: object, expected: str) -> NoReturn:
    raise CheckpointError(f"{path}: {key} is {value!r}; {expected}, is supported")
