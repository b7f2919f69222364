"""Several texts in one window, each as if it stood alone.

Padding is work for nothing. So short texts share a window: a token sees those of its own text only,
and positions begin anew in each (Krell et al. 2021, "Efficient Sequence Packing", section 3.2).
"""

from __future__ import annotations

from typing import NamedTuple

import mlx.core as mx

from llm_explainer.mlx_backend.module import Array


class Packing(NamedTuple):
    """What the layers need to know of segments; made once for all of them."""

    positions: Array  # (B, T): how many tokens of its own segment come before each
    seen: Array  # (B, 1, T, T): whether a query sees a key, the same for all heads


def packing_of(segments: Array | None) -> Packing | None:
    """Return what follows from segments (B, T), ids of any kind; None where there are none."""
    if segments is None:
        return None
    same = segments[:, :, None] == segments[:, None, :]  # (B, T, T)
    n_tokens = segments.shape[1]
    seen = same & mx.tril(mx.ones((n_tokens, n_tokens), mx.bool_))
    return Packing(seen.sum(-1) - 1, seen[:, None])
