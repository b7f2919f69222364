"""Where a token stands, and how it is told: fixed sinusoids, rotations. (Learned: an embedding.)

Attention by itself does not see order.

Explained in ``Tutorial/03 - PositionalEncoding.md``.
"""

import numpy as np

from llm_explainer.plain.contract import Array, Function
from llm_explainer.rope_frequencies import rope_frequencies
from llm_explainer.rope_scaling import RopeScaling


def places(segments: Array) -> Array:
    """How many tokens of its own segment come before each (Krell et al. 2021, section 3.2).

    Several texts share a row, each as if it stood alone. segments (B, T), ids -> (B, T).

    >>> places(np.array([[7, 7, 7, 8, 8]]))
    array([[0, 1, 2, 0, 1]])
    """
    same = segments[:, :, None] == segments[:, None, :]  # (B, T, T)
    earlier: Array = np.tril(same, -1).sum(-1)  # (B, T)
    return earlier


def sinusoids(positions: Array, dims: int) -> Array:
    """Channel 2i of token t: sin(t / 10000^(2i/D)); 2i + 1: cos (Vaswani et al. 2017, section 3.5).

    positions (...) -> (..., D).

    >>> sinusoids(np.arange(2), 4).round(3)  # angles 0 and 0, then 1 and 1/100
    array([[0.   , 1.   , 0.   , 1.   ],
           [0.841, 0.54 , 0.01 , 1.   ]])
    """
    frequencies = 10_000.0 ** (-np.arange(0, dims, 2) / dims)  # (D/2,)
    angles = positions[..., None] * frequencies  # (..., D/2)
    pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (..., D/2, 2)
    return pairs.reshape(*positions.shape, dims)  # (..., D)


def rotate(
    x: Array, positions: Array, theta: float, scaling: RopeScaling | None = None
) -> Function:
    """RoPE: rotate (x_i, x_{i+H/2}) of token t by t · θ^(-2i/H) (Su et al. 2021, section 3.2.2).

    Queries and keys that are rotated so have dot products that depend on their distance alone. The
    backward pass rotates the other way. Pairs are those of Hugging Face's Llama. x (..., T, H) and
    positions (T,), or (B, 1, T) where they differ. With ``scaling``, frequencies by its rule.

    >>> y, backward = rotate(np.array([[1.0, 0.0], [1.0, 0.0]]), np.arange(2), theta=10_000.0)
    >>> y.round(4)  # token 0 stays, token 1 is rotated by 1 radian
    array([[1.    , 0.    ],
           [0.5403, 0.8415]])
    >>> backward(y).round(4)
    array([[1., 0.],
           [1., 0.]])
    """
    frequencies, strength = rope_frequencies(x.shape[-1], theta, scaling)  # (H/2,): θ^(-2i/H)
    angles = positions[..., None] * frequencies  # (T, H/2) or (B, 1, T, H/2)
    cos, sin = ((strength * f(angles)).astype(x.dtype) for f in (np.cos, np.sin))
    first, second = np.split(x, 2, axis=-1)  # (..., T, H/2) each
    y = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def backward(dy: Array) -> Array:
        dfirst, dsecond = np.split(dy, 2, axis=-1)  # (..., T, H/2) each
        return np.concatenate([dfirst * cos + dsecond * sin, dsecond * cos - dfirst * sin], axis=-1)

    return y, backward
