"""Small models with random weights, for tests of the backend."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llm_explainer.config import ModelConfig
from llm_explainer.numpy_backend import GPT, Module
from llm_explainer.tree import flatten

Array = NDArray[Any]

SMALL: dict[str, Any] = {
    "vocab_size": 7,
    "context_length": 6,
    "d_model": 8,
    "n_layers": 1,
    "n_heads": 4,
    "d_ff": 6,
}
LLAMA: dict[str, Any] = {
    "norm": "rmsnorm",
    "position": "rope",
    "activation": "swiglu",
    "bias": False,
    "n_kv_heads": 2,
}
LLAMA3 = {"rule": "llama3", "factor": 4.0, "original_context": 16}
YARN = {"rule": "yarn", "factor": 4.0, "original_context": 16, "attention_factor": 1.2}
IN_ONE: dict[str, Any] = {"n_layers": 2, "window_layers": (1,)}
FAMILIES: dict[str, dict[str, Any]] = {"gpt2": {}, "llama": LLAMA}
SWITCHES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layers": 2},
    "llama": {**LLAMA, "n_layers": 2},
    "llama untied": {**LLAMA, "tie_embeddings": False},
    "llama one kv head": {**LLAMA, "n_kv_heads": 1},
    "llama biases": {**LLAMA, "bias": True},
    "llama learned": {**LLAMA, "position": "learned"},
    "llama relu": {**LLAMA, "activation": "relu"},
    "llama layernorm": {**LLAMA, "norm": "layernorm"},
    "gpt2 untied": {"tie_embeddings": False},
    "gpt2 no biases": {"bias": False},
    "gpt2 rmsnorm": {"norm": "rmsnorm"},
    "gpt2 sinusoidal": {"position": "sinusoidal"},
    "gpt2 rope": {"position": "rope"},
    "gpt2 silu": {"activation": "silu"},
    "gpt2 swiglu": {"activation": "swiglu"},
    "gpt2 two kv heads": {"n_kv_heads": 2},
    "gpt2 one kv head": {"n_kv_heads": 1},
    "gpt2 one head": {"n_heads": 1},
    "gpt2 post": {"norm_position": "post"},
    "llama post": {**LLAMA, "norm_position": "post", "n_layers": 2},
    "llama narrow heads": {**LLAMA, "head_dim": 4, "d_model": 10},
    "llama linear": {**LLAMA, "rope_scaling": {"rule": "linear", "factor": 3.0}},
    "llama llama3": {**LLAMA, "head_dim": 8, "rope_theta": 50.0, "rope_scaling": LLAMA3},
    "llama yarn": {**LLAMA, "head_dim": 8, "rope_theta": 50.0, "rope_scaling": YARN},
    "mistral": {**LLAMA, "sliding_window": 3},
    "qwen2": {**LLAMA, "qkv_bias": True},
    "qwen2 windows": {**LLAMA, **IN_ONE, "qkv_bias": True, "sliding_window": 2},
    "qwen3": {**LLAMA, "qk_norm": True, "head_dim": 4},
    "smollm3": {**LLAMA, "n_layers": 2, "rope_layers": (0,)},
    "gpt2 norms and window": {"qk_norm": True, "sliding_window": 2, "head_dim": 3},
}
"""Both families, and every switch turned at least once on its own."""


def small_config(**changes: Any) -> ModelConfig:
    return ModelConfig(**{**SMALL, **changes})


def randomize(module: Module, seed: int = 0, std: float = 0.5) -> None:
    """Add noise to every parameter: at their initial values zeros and ones hide errors."""
    rng = np.random.default_rng(seed)
    for array in flatten(module.parameters()).values():
        array += rng.normal(scale=std, size=array.shape)


def random_model(config: ModelConfig, dtype: DTypeLike = np.float64, seed: int = 0) -> GPT:
    model = GPT(config, seed=seed).astype(dtype)
    randomize(model, seed)
    return model


def random_tokens(config: ModelConfig, B: int, T: int, seed: int = 0) -> Array:
    """Return ids (B, T)."""
    return np.random.default_rng(seed).integers(0, config.vocab_size, (B, T))


def nans(shape: tuple[int, ...], order: str) -> Array:
    """Return an array of NaN: what was there before must not count."""
    if order == "with gaps":
        return np.full([2 * n for n in shape], np.nan)[tuple(slice(None, None, 2) for _ in shape)]
    return np.full(shape, np.nan, order="F" if order == "by columns" else "C")


def only(names: Sequence[str], tree: Any, prefix: str = "") -> Any:
    """Return places for the gradients of these names, and no more of the tree than they need."""
    if isinstance(tree, list):
        return [only(names, each, f"{prefix}{i}.") for i, each in enumerate(tree)]
    if isinstance(tree, dict):
        return {
            key: only(names, value, f"{prefix}{key}.")
            for key, value in tree.items()
            if any(f"{name}.".startswith(f"{prefix}{key}.") for name in names)
        }
    return np.full_like(tree, np.nan)
