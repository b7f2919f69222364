"""LayerNorm and RMSNorm, and which of them a config names.

Explained in ``Tutorial/06 - TransformerBlock.md``.
"""

from __future__ import annotations

import mlx.core as mx

from llm_explainer.config import ModelConfig
from llm_explainer.mlx_backend.module import Array, Module
from llm_explainer.parameter_groups import Group


def make_norm(config: ModelConfig) -> LayerNorm | RMSNorm:
    """Return the normalisation that the config names."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.d_model, config.norm_eps)
    return LayerNorm(config.d_model, config.norm_eps, config.bias)


def make_head_norm(config: ModelConfig) -> RMSNorm | None:
    """Return what norms every query, or every key, if the config has it so: over a head's width."""
    return RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) · weight + bias, over the last axis.

    Ba, Kiros and Hinton 2016, section 3.
    """

    def __init__(self, dims: int, eps: float = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.weight = mx.ones(dims)  # (D,)
        self.bias = mx.zeros(dims) if bias else None  # (D,)
        self._eps = eps

    def group_of(self, name: str) -> Group:
        """Return "vector"."""
        return "vector"

    def __call__(self, x: Array) -> Array:
        """Normalise (..., D)."""
        return mx.fast.layer_norm(x, self["weight"], self.get("bias"), self._eps)


class RMSNorm(Module):
    """y = x / sqrt(mean(x²) + eps) · weight, over the last axis (Zhang and Sennrich 2019)."""

    def __init__(self, dims: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = mx.ones(dims)  # (D,)
        self._eps = eps

    def group_of(self, name: str) -> Group:
        """Return "vector"."""
        return "vector"

    def __call__(self, x: Array) -> Array:
        """Normalise (..., D)."""
        return mx.fast.rms_norm(x, self["weight"], self._eps)
