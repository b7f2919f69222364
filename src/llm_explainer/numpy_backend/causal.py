"""The heart of attention: softmax(mask(Q Kᵀ / sqrt(H))) V and its backward pass.

Letters: B batch, K key-value heads, G query heads for each, T tokens, H width of a head.

For speed: the mask hides the upper triangle of every (T, T) score matrix, so it is worked through
in bands of ``BAND`` query rows, each only as wide as its last row sees. And rows of the softmax
are normalised after the product with V, where they are H wide instead of T.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from llm_explainer.numpy_backend.module import Array, products_are_small

BAND = 64
"""Query rows worked through at a time: 64 skips almost half of the scores at T = 256."""

SCORES_AT_ONCE = 1 << 18
"""Scores held at a time, about 1 MB: what was just computed is still in the processor's cache."""


class AttentionBackward(Protocol):
    """Writes the gradients of q, k and v into arrays shaped like them."""

    def __call__(self, dattended: Array, dq: Array, dk: Array, dv: Array) -> None:
        """Take dLoss/dattended, (B, T, K·G·H)."""
        ...


def causal_attention(
    q: Array, k: Array, v: Array, dropped: Array | None = None
) -> tuple[Array, AttentionBackward]:
    """Attend from q (B, K, G, T, H) to k and v (B, K, 1, T, H), each row to itself and before.

    ``dropped`` (B, K, G, T, T) multiplies the attention weights (dropout). Returns the result,
    heads side by side as (B, T, K·G·H), and its backward pass.
    """
    b, n_kv, group, t, width = q.shape
    scale = 1 / math.sqrt(width)
    needs_max = not products_are_small(q, k, scale)
    attended = np.empty((b, t, n_kv * group * width), q.dtype)
    heads = _heads_first(attended, q.shape)  # (B, K, G, T, H), a view
    exps = np.empty((*q.shape[:4], t), q.dtype)  # (B, K, G, T, T); each band fills what it sees
    inverse_sums = np.empty((*q.shape[:4], 1), q.dtype)  # (B, K, G, T, 1)
    ones = np.ones((t, 1), q.dtype)
    hidden = np.triu(np.full((BAND, BAND), -np.inf, q.dtype), 1)  # 0 where seen

    for rows, band, seen in _bands(q.shape):
        scores = exps[rows, ..., band, seen]  # (b, K, G, band, seen), a view
        np.matmul(q[rows, ..., band, :] * scale, k[rows, ..., seen, :].swapaxes(-1, -2), out=scores)
        height = band.stop - band.start
        scores[..., band] += hidden[:height, :height]  # only the square on the diagonal is cut
        if needs_max:  # so that exp cannot overflow; the softmax is the same
            scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        inverse_sums[rows, ..., band, :] = 1 / (scores @ ones[seen])
        weights = scores if dropped is None else scores * dropped[rows, ..., band, seen]
        np.matmul(weights, v[rows, ..., seen, :], out=heads[rows, ..., band, :])
    heads *= inverse_sums

    def backward(dattended: Array, dq: Array, dk: Array, dv: Array) -> None:
        dheads = _heads_first(dattended, q.shape)
        # In the forward pass P = exps · inverse_sums, attended = (P ∘ dropped) V. So
        # dS = P ∘ (dP - rowsum(P ∘ dP)), and rowsum(P ∘ dP) = rowsum(dattended ∘ attended)
        # (Dao et al. 2022, FlashAttention, appendix B.4). ``inverse_sums`` goes into the narrow
        # factors, so that P is never spelled out.
        row_dots = np.vecdot(dheads, heads)[..., None] * inverse_sums  # (B, K, G, T, 1)
        dheads = dheads * inverse_sums
        dk_sum, dv_sum = _GroupSum(dk, group), _GroupSum(dv, group)
        for rows, band, seen in _bands(q.shape):
            weights = exps[rows, ..., band, seen]
            dscores = dheads[rows, ..., band, :] @ v[rows, ..., seen, :].swapaxes(-1, -2)
            if dropped is not None:
                keep = dropped[rows, ..., band, seen]
                dscores *= keep
                dv_sum.add(rows, seen, weights * keep, dheads[rows, ..., band, :])
            else:
                dv_sum.add(rows, seen, weights, dheads[rows, ..., band, :])
            dscores -= row_dots[rows, ..., band, :]
            dscores *= weights
            dscores *= scale
            np.matmul(dscores, k[rows, ..., seen, :], out=dq[rows, ..., band, :])
            dk_sum.add(rows, seen, dscores, q[rows, ..., band, :])

    return attended, backward


class _GroupSum:
    """Sums weightsᵀ · rows over bands and over the group's query heads, into (B, K, 1, T, H)."""

    def __init__(self, total: Array, group: int) -> None:
        self.total, self.group = total, group

    def add(self, rows: slice, seen: slice, weights: Array, values: Array) -> None:
        """Add (b, K, G, band, seen)ᵀ · (b, K, G, band, H) to what the band saw.

        The bands come from the widest down: the first one sets every row, the others add.
        """
        total = self.total[rows, ..., seen, :]
        first = seen.stop == self.total.shape[-2]
        if first and self.group == 1:
            np.matmul(weights.swapaxes(-1, -2), values, out=total)
            return
        product = weights.swapaxes(-1, -2) @ values  # (b, K, G, seen, H)
        product = product.sum(2, keepdims=True) if self.group > 1 else product
        if first:
            total[...] = product
        else:
            total += product


def _bands(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """Yield (batch rows, query rows, keys they see), small enough to stay in the cache."""
    b, n_kv, group, t, _ = shape
    step = max(1, SCORES_AT_ONCE // (n_kv * group * min(BAND, t) * t))
    for row in range(0, b, step):
        for start in reversed(range(0, t, BAND)):
            stop = min(start + BAND, t)
            yield slice(row, row + step), slice(start, stop), slice(0, stop)


def _heads_first(x: Array, shape: tuple[int, ...]) -> Array:
    """View (B, T, K·G·H) as (B, K, G, T, H)."""
    b, n_kv, group, t, width = shape
    return x.reshape(b, t, n_kv, group, width).transpose(0, 2, 3, 1, 4)
