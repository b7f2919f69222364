"""Several texts in one window, each as if it stood alone.

Padding is work for nothing. So short texts share a window: a token sees those of its own text only,
and positions begin anew in each (Krell et al. 2021, "Efficient Sequence Packing", section 3.2).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from llm_explainer.numpy_backend.module import Array


class Packing(NamedTuple):
    """What the layers need to know of segments; made once for all of them."""

    positions: Array  # (B, T): how many tokens of its own segment come before each
    unseen: Array  # (B, T, T), added to scores: 0 for keys that a query sees, -inf for others


def packing_of(segments: Array | None) -> Packing | None:
    """Return what follows from segments (B, T), ids of any kind; None where there are none."""
    if segments is None:
        return None
    seen = segments[:, :, None] == segments[:, None, :]  # (B, T, T)
    seen &= np.tri(segments.shape[1], dtype=bool)
    unseen = np.where(seen, np.float32(0), np.float32(-np.inf))
    return Packing(np.count_nonzero(seen, axis=-1) - 1, unseen)
