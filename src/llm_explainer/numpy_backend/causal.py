"""The heart of attention: softmax(mask(Q Kᵀ / sqrt(H))) V and its backward pass.

Letters: B batch, K key-value heads, G query heads for each, T tokens, H width of a head.

For speed: the mask hides the upper triangle of every (T, T) score matrix, so it is worked through
in bands of ``BAND`` query rows, each only as wide as its last row sees. Rows of the softmax are
normalised after the product with V, where they are H wide instead of T. And Q, K and V, which come
side by side in one array, are first copied apart, with the heads in front and K already turned:
NumPy is slow on many short rows, and BLAS half as fast where it must turn a small matrix itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from llm_explainer.numpy_backend.module import Array, products_are_small

BAND = 64
"""Query rows worked through at a time: 64 skips almost half of the scores at T = 256."""

SCORES_AT_ONCE = 1 << 17
"""Scores worked on at a time, 512 KB: what was just computed is still in the processor's cache."""


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
    queries = np.multiply(q, scale, order="C")
    keys_turned = np.ascontiguousarray(k.swapaxes(-1, -2))  # (B, K, 1, H, T)
    values = np.ascontiguousarray(v)
    needs_max = not products_are_small(queries, k)
    heads = np.empty(q.shape, q.dtype)
    sums = np.empty((*q.shape[:4], 1), q.dtype)  # (B, K, G, T, 1)
    ones = np.ones((t, 1), q.dtype)
    hidden = np.triu(np.full((BAND, BAND), -np.inf, q.dtype), 1)  # 0 where seen

    exps = []  # of each band, (b, K, G, band, seen)
    for rows, band, seen in _bands(q.shape):
        scores = queries[rows, ..., band, :] @ keys_turned[rows, ..., seen]
        height = band.stop - band.start
        scores[..., band] += hidden[:height, :height]  # only the square on the diagonal is cut
        if needs_max:  # so that exp cannot overflow; the softmax is the same
            scores -= scores.max(-1, keepdims=True)
        exps.append(np.exp(scores, out=scores))
        np.matmul(scores, ones[seen], out=sums[rows, ..., band, :])
        weights = scores if dropped is None else scores * dropped[rows, ..., band, seen]
        np.matmul(weights, values[rows, ..., seen, :], out=heads[rows, ..., band, :])
    inverse_sums = np.reciprocal(sums, out=sums)
    heads *= inverse_sums
    attended = heads.transpose(0, 3, 1, 2, 4).reshape(b, t, -1)  # (B, T, K·G·H)

    def backward(dattended: Array, dq: Array, dk: Array, dv: Array) -> None:
        # In the forward pass P = exps · inverse_sums, attended = (P ∘ dropped) V. So
        # dS = P ∘ (dP - rowsum(P ∘ dP)), and rowsum(P ∘ dP) = rowsum(dattended ∘ attended)
        # (Dao et al. 2022, FlashAttention, appendix B.4). ``inverse_sums`` goes into the narrow
        # factors, so that P is never spelled out; 1 / sqrt(H) into the queries and keys.
        side_by_side = dattended.reshape(b, t, n_kv, group, width)
        dheads = np.array(side_by_side.transpose(0, 2, 3, 1, 4), order="C")  # (B, K, G, T, H)
        row_dots = np.vecdot(dheads, heads)[..., None] * inverse_sums  # (B, K, G, T, 1)
        dheads *= inverse_sums
        keys = np.multiply(k, scale, order="C")
        values_turned = np.ascontiguousarray(v.swapaxes(-1, -2))  # (B, K, 1, H, T)
        for (rows, band, seen), weights in zip(_bands(q.shape), exps, strict=True):
            dband = dheads[rows, ..., band, :]  # (b, K, G, band, H)
            dscores = dband @ values_turned[rows, ..., seen]  # (b, K, G, band, seen)
            if dropped is not None:
                keep = dropped[rows, ..., band, seen]
                dscores *= keep
                _add_to_seen(dv[rows], weights * keep, dband)
            else:
                _add_to_seen(dv[rows], weights, dband)
            dscores -= row_dots[rows, ..., band, :]
            dscores *= weights
            np.matmul(dscores, keys[rows, ..., seen, :], out=dq[rows, ..., band, :])
            _add_to_seen(dk[rows], dscores, queries[rows, ..., band, :])

    return attended, backward


def _add_to_seen(total: Array, weights: Array, values: Array) -> None:
    """Add weightsᵀ · values to those rows of total (b, K, 1, T, H) that a band saw.

    With weights (b, K, G, band, seen) and values (b, K, G, band, H). The query heads of a group lie
    on top of each other, so one product sums over them too. The bands come from the widest down:
    the first one sets every row, the others add.
    """
    b, n_kv, group, height, n_seen = weights.shape
    stacked = weights.reshape(b, n_kv, 1, group * height, n_seen).swapaxes(-1, -2)
    values = values.reshape(b, n_kv, 1, group * height, -1)
    seen = total[..., :n_seen, :]
    if n_seen == total.shape[-2]:
        np.matmul(stacked, values, out=seen)
    else:
        seen += stacked @ values


def _bands(shape: tuple[int, ...]) -> Iterator[tuple[slice, slice, slice]]:
    """Yield (batch rows, query rows, keys they see), small enough to stay in the cache."""
    b, n_kv, group, t, _ = shape
    step = max(1, SCORES_AT_ONCE // (n_kv * group * min(BAND, t) * t))
    for row in range(0, b, step):
        for start in reversed(range(0, t, BAND)):
            stop = min(start + BAND, t)
            yield slice(row, row + step), slice(start, stop), slice(0, stop)
