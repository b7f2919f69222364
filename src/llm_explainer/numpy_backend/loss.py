"""Cross-entropy: how surprised the model is by the token that came."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from llm_explainer.numpy_backend.module import Array, products_are_small

LOGITS_AT_ONCE = 1 << 20
"""Logits worked through at a time, 4 MB: the passes of a softmax find them in the cache."""


class LossBackward(Protocol):
    """Returns dLoss/dlogits; ``dloss`` scales it."""

    def __call__(self, dloss: float = 1.0) -> Array:
        """Return an array shaped like the logits."""
        ...


def cross_entropy(
    logits: Array, targets: Array, mask: Array | None = None
) -> tuple[float, LossBackward]:
    """Return the mean of -log softmax(logits)[target], in nats a token, and its backward pass.

    Args:
        logits: (..., V)
        targets: (...) ids in [0, V)
        mask: (...) of 0 and 1; tokens with 0 do not count. None counts all.
    """
    dlogits = logits.reshape(-1, logits.shape[-1]).copy()  # (N, V)
    weights = token_weights(targets, mask, logits.dtype)  # (N,)
    loss = softmax_loss_(dlogits, targets.reshape(-1), weights)

    def backward(dloss: float = 1.0) -> Array:
        return (dlogits * dloss).reshape(logits.shape)

    return loss, backward


def token_weights(
    targets: Array, mask: Array | None, dtype: np.dtype, n_counted: float | None = None
) -> Array:
    """Return each token's share of the loss, (N,): its mask over the number of tokens counted.

    ``n_counted`` is that number where this is a part of a larger batch, so that the parts' losses
    and gradients simply add up.
    """
    if mask is None:
        return np.full(targets.size, 1 / (n_counted or targets.size), dtype)
    flat: Array = mask.reshape(-1).astype(dtype)
    return flat / (n_counted or max(float(flat.sum()), 1.0))


def softmax_loss_(logits: Array, targets: Array, weights: Array, needs_max: bool = True) -> float:
    """Turn logits (N, V) into dLoss/dlogits, in place, and return the loss.

    With p = softmax(z), the loss of a token is -log p[target] and its gradient p - onehot(target).
    Logits that are known to be small may do without ``needs_max``.
    """
    ids = np.arange(len(logits))
    if needs_max:  # so that exp cannot overflow; the softmax is the same
        logits -= logits.max(-1, keepdims=True)
    target_logits = logits[ids, targets]  # (N,)
    np.exp(logits, out=logits)
    sums = logits @ np.ones(logits.shape[1], logits.dtype)  # (N,)
    loss = float(np.dot(np.log(sums) - target_logits, weights))
    logits *= (weights / sums)[:, None]  # p · weight
    logits[ids, targets] -= weights
    return loss


def linear_cross_entropy(
    hidden: Array, head: Array, targets: Array, weights: Array, dhead: Array
) -> tuple[float, Array]:
    """Return the loss of logits = hidden · headᵀ, and dLoss/dhidden, in one go.

    The softmax and its gradient overwrite the logits block by block, while they are in the
    processor's cache: training needs neither the logits nor the probabilities again.

    Args:
        hidden: (N, D)
        head: (V, D)
        targets: (N,)
        weights: (N,) from ``token_weights``
        dhead: (V, D), receives dLoss/dhead
    """
    n, vocab_size = len(hidden), len(head)
    dlogits = np.empty((n, vocab_size), hidden.dtype)  # (N, V)
    dhidden = np.empty_like(hidden)  # (N, D)
    step = max(16, LOGITS_AT_ONCE // vocab_size)
    needs_max = not products_are_small(hidden, head)
    loss = 0.0
    for start in range(0, n, step):
        rows = slice(start, start + step)
        np.matmul(hidden[rows], head.T, out=dlogits[rows])
        loss += softmax_loss_(dlogits[rows], targets[rows], weights[rows], needs_max)
        np.matmul(dlogits[rows], head, out=dhidden[rows])
    np.matmul(dlogits.T, hidden, out=dhead)  # (V, N) @ (N, D)
    return loss, dhidden
