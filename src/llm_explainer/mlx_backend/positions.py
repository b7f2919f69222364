"""Where a token stands: fixed sinusoids that are added, and rotations of queries and keys.

(Learned positions are an ``Embedding``.)
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from llm_explainer.mlx_backend.module import Array, Backward, Module, as_ids, with_backward


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


class RotaryEmbedding(Module):
    """Rotary position embedding: at position t, turn channel pair i by the angle t · θ^(-2i/H).

    Su et al. 2021 (RoFormer), section 3.4. "Half-split" as in Hugging Face's Llama: channel i pairs
    with channel i + H/2, where H is the head's width. MLX computes the angles as it goes, so the
    context's length does not matter.
    """

    def __init__(self, head_dim: int, context_length: int, theta: float = 10_000.0) -> None:
        super().__init__()
        self._head_dim, self._theta = head_dim, theta

    def __call__(self, x: Array, positions: Array) -> Array:
        """Turn x (B, T, heads, H) to positions, (T,) for all rows or (B, T) for each."""
        each = mx.broadcast_to(as_ids(positions), x.shape[:2]).reshape(-1)  # (B·T,)
        tokens = x.reshape(-1, *x.shape[2:])[:, :, None]  # (B·T, heads, 1, H): texts of one token
        return self.turn(tokens, each).reshape(x.shape)

    def forward(  # type: ignore[override]
        self, x: Array, positions: Array
    ) -> tuple[Array, Backward]:
        """Turn x (B, T, heads, H)."""
        return with_backward(self, lambda x: self(x, positions), x)

    def turn(self, x: Array, start: int | Array) -> Array:
        """Turn x (B, heads, T, H) to the positions from ``start`` on, one or (B,)."""
        return mx.fast.rope(
            x, self._head_dim, traditional=False, base=self._theta, scale=1.0, offset=start
        )
