"""ReLU, GELU and SiLU.

Explained in ``Tutorial/05 - FeedForwardNetwork.md``.
"""

from __future__ import annotations

import math
from functools import partial

import mlx.core as mx

from llm_explainer.mlx_backend.module import Array, Module


class ReLU(Module):
    """max(x, 0), with slope 0 at 0."""

    def __call__(self, x: Array) -> Array:
        """Return f(x)."""
        return mx.maximum(x, 0)


class SiLU(Module):
    """x · sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""

    def __call__(self, x: Array) -> Array:
        """Return f(x)."""
        return x * mx.sigmoid(x)


class GELU(Module):
    """x · Φ(x) in GPT-2's tanh form (Hendrycks and Gimpel 2016, section 2).

    0.5 x (1 + tanh u), with u = sqrt(2/π) (x + 0.044715 x³).
    """

    def __call__(self, x: Array) -> Array:
        """Return f(x)."""
        return _gelu(x)


@partial(mx.compile, shapeless=True)  # one pass over x instead of eight
def _gelu(x: Array) -> Array:
    u = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
    return 0.5 * x * (1 + mx.tanh(u))
