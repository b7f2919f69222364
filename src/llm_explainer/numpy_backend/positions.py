"""Where a token stands: vectors that are added to the embeddings, learned or fixed sinusoids, or
rotations of queries and keys; and which of them a config names.

Explained in ``Tutorial/03 - PositionalEncoding.md``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import DTypeLike

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.numpy_backend.layers import Embedding
from llm_explainer.numpy_backend.module import Array, Backward, Module
from llm_explainer.rope_frequencies import rope_frequencies
from llm_explainer.rope_scaling import RopeScaling
from llm_explainer.tree import Tree


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
        self._shape = (context_length, dims)
        self.convert(np.float32)

    def convert(self, dtype: DTypeLike) -> None:
        """Make the table in another precision."""
        context_length, dims = self._shape
        frequencies = 10_000.0 ** (-np.arange(0, dims, 2) / dims)  # (D/2,)
        angles = np.outer(np.arange(context_length), frequencies)  # (T, D/2)
        table = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (T, D/2, 2)
        self._table: Array = table.reshape(context_length, dims).astype(dtype)  # (T, D)

    def __call__(self, positions: Array) -> Array:
        """Look up positions of any shape: (...) -> (..., D)."""
        return self._table[positions]

    def forward(self, positions: Array) -> tuple[Array, Backward]:
        """Look up positions; nothing here learns."""

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            return np.empty(0, dy.dtype), {} if out is None else out

        return self(positions), backward


class RotaryEmbedding(Module):
    """Rotary position embedding: at position t, rotate channel pair i by the angle t · θ^(-2i/H).

    Su et al. 2021 (RoFormer), section 3.4. The dot product of a query and a key, both rotated, then
    depends on their distance alone. "Half-split" as in Hugging Face's Llama: channel i pairs with
    channel i + H/2, where H is the head's width.
    """

    def __init__(
        self,
        head_dim: int,
        context_length: int,
        theta: float = 10_000.0,
        scaling: RopeScaling | None = None,
    ) -> None:
        self._context_length = context_length
        self._settings = (head_dim, theta, scaling)

    def __call__(self, x: Array, positions: Array) -> Array:
        """Rotate x (B, T, heads, H) to positions, (T,) for all rows or (B, T) for each."""
        y = x.copy()
        self.rotate(y, positions)
        return y

    def forward(self, x: Array, positions: Array) -> tuple[Array, Backward]:
        """Rotate x (B, T, heads, H); the backward pass rotates dy the other way."""

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            dx = dy.copy()
            self.rotate(dx, positions, inverse=True)
            return dx, {} if out is None else out

        return self(x, positions), backward

    def rotate(self, x: Array, positions: Array, inverse: bool = False) -> None:
        """Rotate x (B, T, heads, H) in place."""
        half = x.shape[-1] // 2
        swapped = np.empty(x.shape, x.dtype)
        swapped[..., :half] = x[..., half:]
        swapped[..., half:] = x[..., :half]
        n_positions = self._table_length(positions)
        cos, sin = rotation_tables(n_positions, *self._settings, x.shape[-2], x.dtype)
        swapped *= sin[positions]  # (..., T, heads, H)
        x *= cos[positions]
        if inverse:
            x -= swapped  # sin(-a) = -sin(a)
        else:
            x += swapped

    def _table_length(self, positions: Array) -> int:
        """Return for how many positions there is to be a table: the next power of two."""
        if self._context_length <= WHOLE_TABLE:
            return self._context_length
        last = int(np.maximum.reduce(positions, axis=None))
        return min(self._context_length, max(WHOLE_TABLE, 1 << last.bit_length()))


WHOLE_TABLE = 2048
"""Up to so long a context has tables for all of it. Those of 131,072 tokens would be gigabytes."""


@lru_cache(maxsize=16)  # the layers of a model share their tables
def rotation_tables(
    n_positions: int,
    head_dim: int,
    theta: float,
    scaling: RopeScaling | None,
    n_heads: int,
    dtype: np.dtype,
) -> tuple[Array, Array]:
    """Return cos and sin of every position's angles, (T, heads, H) each.

    As wide as a head and with the sign in the table, a rotation is two products and a sum:
    y = x · cos + swap(x) · sin, where swap exchanges the halves. Spelled out for every head,
    because NumPy is fast on long rows.
    """
    frequencies, strength = rope_frequencies(head_dim, theta, scaling)  # (H/2,)
    angles = np.outer(np.arange(n_positions), frequencies)  # (T, H/2)
    cos, sin = strength * np.cos(angles), strength * np.sin(angles)
    tables = np.concatenate([cos, cos], axis=1), np.concatenate([-sin, sin], axis=1)  # (T, H)
    every_head = [np.repeat(table[:, None], n_heads, axis=1) for table in tables]
    return every_head[0].astype(dtype), every_head[1].astype(dtype)
