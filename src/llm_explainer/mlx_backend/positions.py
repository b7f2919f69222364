"""Where a token stands: vectors that are added to the embeddings, learned or fixed sinusoids, or
rotations of queries and keys; and which of them a config names.

Explained in ``Tutorial/03 - PositionalEncoding.md``.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.mlx_backend.layers import Embedding
from llm_explainer.mlx_backend.module import Array, Backward, Module, as_ids, with_backward
from llm_explainer.rope_frequencies import rope_frequencies
from llm_explainer.rope_scaling import RopeScaling


def make_position_embedding(
    config: ModelConfig, *, init: Init
) -> Embedding | SinusoidalPositions | None:
    """Return the table of vectors that are added to the embeddings, if the config has one."""
    if config.position == "learned":
        return Embedding(config.context_length, config.d_model, init=init)
    if config.position == "sinusoidal":
        return SinusoidalPositions(config.context_length, config.d_model)
    return None


def make_rotary_embedding(config: ModelConfig) -> RotaryEmbedding | None:
    """Return what rotates the queries and keys, if the config has it so."""
    if config.position == "rope":
        scaling = config.rope_scaling
        return RotaryEmbedding(config.head_dim, config.context_length, config.rope_theta, scaling)
    return None


class SinusoidalPositions(Module):
    """Sines and cosines of many wavelengths, added to the embeddings.

    Vaswani et al. 2017, section 3.5: channel 2i holds sin(t / 10000^(2i/D)), channel 2i+1 the
    cosine.
    """

    def __init__(self, context_length: int, dims: int) -> None:
        super().__init__()
        frequencies = 10_000.0 ** (-np.arange(0, dims, 2) / dims)  # (D/2,)
        angles = np.outer(np.arange(context_length), frequencies)  # (T, D/2)
        table = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (T, D/2, 2)
        self._table = mx.array(table.reshape(context_length, dims).astype(np.float32))  # (T, D)

    def __call__(self, positions: Array) -> Array:
        """Look up positions of any shape: (...) -> (..., D)."""
        return self._table[as_ids(positions)]

    def forward(self, positions: Array) -> tuple[Array, Backward]:
        """Look up positions; nothing here learns."""
        return with_backward(self, self, as_ids(positions))


class RotaryEmbedding(Module):
    """Rotary position embedding: at position t, rotate channel pair i by the angle t · θ^(-2i/H).

    Su et al. 2021 (RoFormer), section 3.4. "Half-split" as in Hugging Face's Llama: channel i pairs
    with channel i + H/2, where H is the head's width. MLX computes the angles as it goes, so the
    context's length does not matter.
    """

    def __init__(
        self,
        head_dim: int,
        context_length: int,
        theta: float = 10_000.0,
        scaling: RopeScaling | None = None,
    ) -> None:
        super().__init__()
        frequencies, self._strength = rope_frequencies(head_dim, theta, scaling)  # (H/2,)
        self._head_dim = head_dim
        self._angles: dict[str, Any] = {"base": theta}
        if scaling is not None:  # MLX divides by what it calls frequencies
            self._angles = {"base": None, "freqs": mx.array(1 / frequencies, mx.float32)}

    def __call__(self, x: Array, positions: Array) -> Array:
        """Rotate x (B, T, heads, H) to positions, (T,) for all rows or (B, T) for each."""
        each = mx.broadcast_to(as_ids(positions), x.shape[:2])  # (B, T)
        return self.rotate_each(x.swapaxes(1, 2), each).swapaxes(1, 2)

    def forward(  # type: ignore[override]
        self, x: Array, positions: Array
    ) -> tuple[Array, Backward]:
        """Rotate x (B, T, heads, H)."""
        return with_backward(self, lambda x: self(x, positions), x)

    def rotate_each(self, x: Array, positions: Array) -> Array:
        """Rotate x (B, heads, T, H) to positions (B, T)."""
        b, n_heads, t, width = x.shape
        tokens = x.swapaxes(1, 2).reshape(b * t, n_heads, 1, width)  # as texts of one token
        rotated = self.rotate(tokens, positions.reshape(-1))
        return rotated.reshape(b, t, n_heads, width).swapaxes(1, 2)

    def rotate(self, x: Array, start: int | Array) -> Array:
        """Rotate x (B, heads, T, H) to the positions from ``start`` on, one or (B,)."""
        if self._strength != 1.0:
            x = x * self._strength
        return mx.fast.rope(
            x, self._head_dim, traditional=False, scale=1.0, offset=start, **self._angles
        )
