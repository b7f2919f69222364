"""A model of ours as a GGUF file, for llama.cpp, Ollama and LM Studio."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from llm_explainer.checkpoint.gguf.tensors import (
    GPT2_NAMES,
    LLAMA_NAMES,
    ROPE_FACTORS,
    neighbours,
)
from llm_explainer.checkpoint.gguf.tokenizer import tokenizer_metadata
from llm_explainer.checkpoint.layouts import Container, layout
from llm_explainer.checkpoint.saving import Model, check_vocabulary
from llm_explainer.checkpoint.tensors import Array
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError
from llm_explainer.files import open_atomically
from llm_explainer.program import extra
from llm_explainer.rope_frequencies import rope_frequencies
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tree import flatten

Kind = Literal["F32", "F16", "Q8_0"]
"""How the matrices are stored: whole, in half precision, or 32 at a time as bytes and a scale."""

_IN_BLOCK = 32  # numbers that share a scale in Q8_0


def architecture_of(config: ModelConfig) -> Container:
    """Return the architecture under which llama.cpp runs a model.

    Raises:
        CheckpointError: it has none that computes the same; says what is in the way.
    """
    family = config.family
    if family not in ("gpt2", "llama", "qwen2", "qwen3"):
        kind = "a model of our own kind" if family is None else f"a {family}"
        raise CheckpointError(
            f"llama.cpp does not run {kind} as it is meant; a GPT-2, Llama, Qwen2 or Qwen3 without "
            "sliding windows would do"
        )
    if config.sliding_window:
        raise CheckpointError(f"a {family} with a sliding window would run without it in llama.cpp")
    if config.rope_scaling is not None and config.rope_scaling.rule == "yarn":
        raise CheckpointError(
            "RoPE by yarn is not written as GGUF: llama.cpp computes it otherwise"
        )
    return family


def write_gguf(
    path: str | os.PathLike[str],
    model: Model,
    tokenizer: Tokenizer,
    kind: Kind = "F32",
    *,
    name: str | None = None,
) -> Path:
    """Write a model and its tokenizer as one file, all of it or nothing, and return its path.

    Norms and biases are float32 in every ``kind``, and so are matrices whose rows are no multiple
    of 32 in Q8_0. ``name`` is what other software calls the model: as the file, by default.

    Raises:
        CheckpointError: llama.cpp cannot run it exactly; no package ``gguf``; adapters.
        OSError: the file cannot be written.
    """
    if getattr(model, "lora", None) is not None:
        raise CheckpointError("the model has adapters; merge them before it is written as GGUF")
    gguf = _library()
    architecture = architecture_of(model.config)
    check_vocabulary(tokenizer, model.config, path)
    metadata = tokenizer_metadata(tokenizer, model.config.vocab_size)
    target = Path(path)
    with open_atomically(target) as file:
        writer = gguf.GGUFWriter(None, str(architecture))
        # A folder's name may hold bytes that are no text.
        writer.add_name((name or target.stem).encode("utf-8", "replace").decode())
        _add_settings(writer, model.config, architecture)
        for key, value in metadata.items():
            _add(writer, key, value)
        for name, array in _tensors(model, architecture):
            data, raw = _stored(gguf, array, kind)
            writer.add_tensor(name, data, raw_dtype=raw)
        writer.write_header_to_file(Path(file.name))
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    return target


def _add_settings(writer: Any, config: ModelConfig, architecture: Container) -> None:
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.d_model)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.d_ff)
    writer.add_head_count(config.n_heads)
    if architecture == "gpt2":
        writer.add_layer_norm_eps(config.norm_eps)
        return
    writer.add_head_count_kv(config.n_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_theta)
    scaling = config.rope_scaling
    if scaling is None or scaling.rule == "llama3":  # which is a tensor
        return
    if scaling.rule == "yarn":
        raise CheckpointError(
            "RoPE by yarn is not written as GGUF: llama.cpp computes it otherwise"
        )
    writer.add_rope_scaling_type(_library().RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(scaling.factor)


def _add(writer: Any, key: str, value: Any) -> None:
    """Add a setting as a text, a number, a flag or a list."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _tensors(model: Model, architecture: Container) -> Iterator[tuple[str, Array]]:
    """Yield every tensor under llama.cpp's name, (out, in), in llama.cpp's order of rows."""
    config = model.config
    parameters = {name: np.asarray(array) for name, array in flatten(model.parameters()).items()}
    names = GPT2_NAMES if architecture == "gpt2" else LLAMA_NAMES
    to_ours = {theirs: ours for ours, theirs in names.items()}
    shapes = {name: array.shape for name, array in parameters.items()}
    for slot in layout(architecture, config, shapes):
        array, first = parameters.get(slot.parameter), 0
        for theirs, shape in slot.tensors.items():
            if array is None:  # a bias that GPT-2 always has
                part = np.zeros(shape, np.float32)
            else:
                n_rows = len(array) if slot.transposed else shape[0]
                part, first = array[first : first + n_rows], first + n_rows
            if architecture == "llama" and "q_proj" in theirs:
                part = neighbours(part, config.n_heads)
            if architecture == "llama" and "k_proj" in theirs:
                part = neighbours(part, config.n_kv_heads)
            yield _our_name(theirs, to_ours), part
    if architecture == "gpt2" and config.tie_embeddings:
        yield "output.weight", parameters["token_embedding.weight"]  # it wants the table twice
    if config.rope_scaling is not None and config.rope_scaling.rule == "llama3":
        plain, _ = rope_frequencies(config.head_dim, config.rope_theta)
        slowed, _ = rope_frequencies(config.head_dim, config.rope_theta, config.rope_scaling)
        yield ROPE_FACTORS, (plain / slowed).astype(np.float32)


def _our_name(theirs: str, modules: dict[str, str]) -> str:
    """``model.layers.3.mlp.up_proj.weight`` -> ``blk.3.ffn_up.weight``."""
    module, _, kind = theirs.rpartition(".")
    for stack in ("model.layers.", "h."):
        if module.startswith(stack):
            block, _, inner = module.removeprefix(stack).partition(".")
            return f"blk.{block}.{modules[inner]}.{kind}"
    return f"{modules[module]}.{kind}"


def _stored(gguf: ModuleType, array: Array, kind: Kind) -> tuple[Array, Any]:
    """Return a tensor's numbers as they are to lie in the file, and their kind if it is quantised.

    What is no matrix stays float32.
    """
    array = np.ascontiguousarray(array)
    if array.ndim == 1 or kind == "F32" or (kind == "Q8_0" and array.shape[-1] % _IN_BLOCK):
        return array, None
    if kind == "F16":
        with np.errstate(over="ignore"):
            half = array.astype(np.float16)
        if not np.isfinite(half).all():
            raise CheckpointError("a weight is too large for F16; take F32 or Q8_0")
        return half, None
    quantised = gguf.GGMLQuantizationType.Q8_0
    return gguf.quants.quantize(array, quantised), quantised


def _library() -> ModuleType:
    try:
        return importlib.import_module("gguf")
    except ImportError:
        raise CheckpointError(
            "writing GGUF takes the package gguf, which is not installed; "
            f"{extra('gguf')} brings it"
        ) from None
