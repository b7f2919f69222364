"""Cross-entropy: how surprised the model is by the token that came.

Explained in ``Tutorial/08 - Training.md``.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from llm_explainer.array_checks import check_logits
from llm_explainer.numpy_backend.module import Array, Backward
from llm_explainer.tree import Tree

LOGITS_AT_ONCE = 1 << 20
"""Logits worked through at a time, 4 MB: the passes of a softmax find them in the cache."""

SAFE_SUMS = 1e-15, 1e30
"""Sums of exponentials between these are as precise as float32 has them: no term that counts has
overflowed or lost digits near zero."""


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

    Raises:
        ConfigError: no such arrays.
    """
    check_logits(logits, targets, mask)
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


def softmax_loss_(logits: Array, targets: Array, weights: Array) -> float:
    """Turn logits (N, V) into dLoss/dlogits, in place, and return the loss.

    With p = softmax(z), the loss of a token is -log p[target] and its gradient p - onehot(target).
    """
    logits -= logits.max(-1, keepdims=True)  # so that exp cannot overflow; the softmax is the same
    target_logits = logits[np.arange(len(logits)), targets]  # (N,)
    sums = exponentials_(logits)  # (N,)
    return loss_and_gradient_(logits, sums, target_logits, targets, weights)


def exponentials_(logits: Array) -> Array:
    """Turn logits (N, V) into their exponentials, in place, and return the rows' sums (N,)."""
    np.exp(logits, out=logits)
    sums: Array = logits @ np.ones(logits.shape[1], logits.dtype)
    return sums


def loss_and_gradient_(
    exps: Array, sums: Array, target_logits: Array, targets: Array, weights: Array
) -> float:
    """Turn exponentials (N, V) and their ``sums`` (N,) into dLoss/dlogits; return the loss."""
    loss = float(np.dot(np.log(sums) - target_logits, weights))
    exps *= (weights / sums)[:, None]  # p · weight
    exps[np.arange(len(exps)), targets] -= weights
    return loss


class Head(Protocol):
    """What scores every next token: a ``Linear``, or whatever stands in its place."""

    def write(self, x: Array, y: Array) -> None:
        """Write what x (N, D) is mapped to into y (N, V)."""
        ...

    def backward_of(self, x: Array) -> Backward:
        """Return the backward pass of mapping x (N, D)."""
        ...


def head_cross_entropy(
    head: Head, hidden: Array, targets: Array, weights: Array, vocab_size: int, out: Tree
) -> tuple[float, Array]:
    """Return the loss of logits = head(hidden), and dLoss/dhidden, in one go.

    The softmax and its gradient overwrite the logits block by block, while they are in the
    processor's cache: training needs neither the logits nor the probabilities again. Rows that do
    not count are left out of every product.

    Args:
        head: maps (N, D) to (N, V)
        hidden: (N, D)
        targets: (N,)
        weights: (N,) from ``token_weights``
        vocab_size: V
        out: receives the gradients of the head's parameters, those that it has a place for
    """
    counted = np.flatnonzero(weights)  # (n,)
    if len(counted) < len(hidden):
        dhidden = np.zeros_like(hidden)  # (N, D)
        loss, dhidden[counted] = head_cross_entropy(
            head, hidden[counted], targets[counted], weights[counted], vocab_size, out
        )
        return loss, dhidden
    dlogits = np.empty((len(hidden), vocab_size), hidden.dtype)  # (N, V)
    step = max(16, LOGITS_AT_ONCE // vocab_size)
    loss = 0.0
    for start in range(0, len(hidden), step):
        rows = slice(start, start + step)
        loss += _block_loss_(head, hidden[rows], targets[rows], weights[rows], dlogits[rows])
    dhidden, _ = head.backward_of(hidden)(dlogits, out)
    return loss, dhidden


def _block_loss_(head: Head, hidden: Array, targets: Array, weights: Array, logits: Array) -> float:
    """Write dLoss/dlogits of some rows into ``logits`` (N, V), and return their loss.

    Few logits are so large that exp needs each row's maximum subtracted, which takes half as long
    as the exponentials. So that is done only where the sums of these show that it was needed.
    """
    head.write(hidden, logits)
    target_logits = logits[np.arange(len(logits)), targets]  # (N,)
    with np.errstate(over="ignore"):
        sums = exponentials_(logits)  # (N,)
    if SAFE_SUMS[0] < sums.min() and sums.max() < SAFE_SUMS[1]:
        return loss_and_gradient_(logits, sums, target_logits, targets, weights)
    head.write(hidden, logits)
    return softmax_loss_(logits, targets, weights)
