"""The heart of attention: softmax(mask(Q Kᵀ / sqrt(H))) V and its backward pass.

Letters: B batch, K key-value heads, G query heads for each, T tokens, H width of a head.

For speed: the mask hides the upper triangle of every (T, T) score matrix, so it is worked through
in bands of ``BAND`` query rows, each only as wide as its last row sees. Rows of the softmax are
normalised after the product with V, where they are H wide instead of T. And Q, K and V, which come
side by side in one array, are first copied apart, with the heads in front and K already
transposed: NumPy is slow on many short rows, and BLAS half as fast where it must transpose a small
matrix itself.

Explained in ``Tutorial/04 - Attention.md``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Protocol

import numpy as np

from llm_explainer.numpy_backend.kernels import products_are_small
from llm_explainer.numpy_backend.module import Array

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
    q: Array,
    k: Array,
    v: Array,
    dropout_mask: Array | None = None,
    unseen: Array | None = None,
    window: int = 0,
) -> tuple[Array, AttentionBackward]:
    """Attend from q (B, K, G, T, H) to k and v (B, K, 1, T, H), each row to itself and before.

    ``dropout_mask`` (B, K, G, T, T) multiplies the attention weights. ``unseen`` (B, T, T) is -inf
    for the keys that a query does not see, where that is not just those after it; with a
    ``window``, nor does it see those that so many keys, its own included, leave out. Returns the
    result, heads side by side as (B, T, K·G·H), and its backward pass.
    """
    b, _, _, t, width = q.shape
    root = width**-0.25  # on either side of Q Kᵀ it makes 1 / sqrt(H)
    queries, keys = np.multiply(q, root, order="C"), np.multiply(k, root, order="C")
    values = np.ascontiguousarray(v)
    keys_transposed = np.ascontiguousarray(keys.swapaxes(-1, -2))  # (B, K, 1, H, T)
    needs_max = not products_are_small(queries, keys)
    heads = np.empty(q.shape, q.dtype)
    sums = np.empty((*q.shape[:4], 1), q.dtype)  # (B, K, G, T, 1)
    ones = np.ones((t, 1), q.dtype)

    exps = []  # of each band, (b, K, G, band, seen)
    for rows, band, seen in _bands(q.shape):
        scores = queries[rows, ..., band, :] @ keys_transposed[rows, ..., seen]
        if unseen is None or window:
            scores += _hidden_keys(band.stop - band.start, seen.stop, window, scores.dtype)
        if unseen is not None:
            scores += unseen[rows, None, None, band, seen]
        if needs_max:  # so that exp cannot overflow; the softmax is the same
            scores -= scores.max(-1, keepdims=True)
        exps.append(np.exp(scores, out=scores))
        np.matmul(scores, ones[seen], out=sums[rows, ..., band, :])
        weights = scores  # times the row's sum
        if dropout_mask is not None:
            weights = scores * dropout_mask[rows, ..., band, seen]
        np.matmul(weights, values[rows, ..., seen, :], out=heads[rows, ..., band, :])
    inverse_sums = np.reciprocal(sums, out=sums)
    heads *= inverse_sums
    attended = heads.transpose(0, 3, 1, 2, 4).reshape(b, t, -1)  # (B, T, K·G·H)
    done = _ForwardPass(queries, keys, values, exps, inverse_sums, attended, dropout_mask)
    return attended, partial(_gradients, done)


@dataclass(frozen=True)
class _ForwardPass:
    """What the backward pass needs. With P the attention weights, P = exps · inverse_sums."""

    queries: Array  # (B, K, G, T, H), times H^(-1/4), as the keys
    keys: Array  # (B, K, 1, T, H)
    values: Array  # (B, K, 1, T, H)
    exps: list[Array]  # of each band, (b, K, G, band, seen)
    inverse_sums: Array  # (B, K, G, T, 1)
    attended: Array  # (B, T, K·G·H)
    dropout_mask: Array | None  # (B, K, G, T, T)


def _gradients(done: _ForwardPass, dattended: Array, dq: Array, dk: Array, dv: Array) -> None:
    """Write the gradients; see ``AttentionBackward``.

    dS = P ∘ (dP - rowsum(P ∘ dP)), and rowsum(P ∘ dP) = rowsum(dattended ∘ attended) (Dao et al.
    2022, FlashAttention, appendix B.4). ``inverse_sums`` goes into dheads, so that P is never
    spelled out. The difference comes out of the product that makes dP = dheads Vᵀ, where dheads has
    one more column, -rowsum, and Vᵀ one more row, of ones; H^(-1/4) goes into the latter two.
    """
    b, n_kv, group, t, width = shape = done.queries.shape
    root = width**-0.25
    dheads_and_dots = np.empty((*shape[:4], width + 1), done.queries.dtype)  # (B, K, G, T, H + 1)
    dheads, row_dots = dheads_and_dots[..., :width], dheads_and_dots[..., width:]
    side_by_side = dattended.reshape(b, t, n_kv, group, width)
    np.multiply(side_by_side.transpose(0, 2, 3, 1, 4), done.inverse_sums, out=dheads)
    dots = np.vecdot(side_by_side, done.attended.reshape(side_by_side.shape))  # (B, T, K, G)
    np.multiply(dots.transpose(0, 2, 3, 1)[..., None], -done.inverse_sums, out=row_dots)
    values_and_ones = np.empty((b, n_kv, 1, width + 1, t), done.queries.dtype)
    np.multiply(done.values.swapaxes(-1, -2), root, out=values_and_ones[..., :width, :])
    values_and_ones[..., width, :] = root
    dkeys, dvalues = np.empty_like(done.values), np.empty_like(done.values)
    for (rows, band, seen), weights in zip(_bands(shape), done.exps, strict=True):
        dband = dheads[rows, ..., band, :]  # (b, K, G, band, H)
        if done.dropout_mask is None:
            _add_to_seen(dvalues[rows], weights, dband)
            # (b, K, G, band, H + 1) @ (b, K, 1, H + 1, seen) -> (b, K, G, band, seen)
            dscores = dheads_and_dots[rows, ..., band, :] @ values_and_ones[rows, ..., seen]
        else:
            mask = done.dropout_mask[rows, ..., band, seen]
            _add_to_seen(dvalues[rows], weights * mask, dband)
            dscores = dband @ values_and_ones[rows, ..., :width, seen]
            dscores *= mask
            dscores += row_dots[rows, ..., band, :] * root
        dscores *= weights
        np.matmul(dscores, done.keys[rows, ..., seen, :], out=dq[rows, ..., band, :])
        _add_to_seen(dkeys[rows], dscores, done.queries[rows, ..., band, :])
    dk[...], dv[...] = dkeys, dvalues


@lru_cache(maxsize=64)
def _hidden_keys(n_queries: int, n_keys: int, window: int, dtype: np.dtype) -> Array:
    """Return what hides the keys after each query, (n_queries, n_keys): -inf there and 0 elsewhere.

    The last query sees all keys, or those of its window.
    """
    diagonal = n_keys - n_queries  # of each query itself
    after: Array = np.triu(np.full((n_queries, n_keys), -np.inf, dtype), diagonal + 1)
    if window:
        after += np.tril(np.full((n_queries, n_keys), -np.inf, dtype), diagonal - window)
    return after


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
