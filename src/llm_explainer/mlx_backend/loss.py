"""Cross-entropy: how surprised the model is by the token that came.

Explained in ``Tutorial/08 - Training.md``.
"""

from __future__ import annotations

from typing import Any, Protocol

import mlx.core as mx
import numpy as np

from llm_explainer.array_checks import check_logits
from llm_explainer.mlx_backend.module import Array, as_ids


class LossBackward(Protocol):
    """Returns dLoss/dlogits; ``dloss`` scales it."""

    def __call__(self, dloss: float = 1.0) -> Array:
        """Return an array shaped like the logits."""
        ...


def cross_entropy(
    logits: Array, targets: Any, mask: Any | None = None
) -> tuple[float, LossBackward]:
    """Return the mean of -log softmax(logits)[target], in nats a token, and its backward pass.

    Args:
        logits: (..., V)
        targets: (...) ids in [0, V), of MLX or NumPy
        mask: (...) of 0 and 1; tokens with 0 do not count. None counts all.

    Raises:
        ConfigError: no such arrays.
    """
    check_logits(logits, targets, mask)
    ids, weights = as_ids(targets), token_weights(targets, mask)
    loss = weighted_loss(logits, ids, weights)

    def backward(dloss: float = 1.0) -> Array:
        dlogits: Array = mx.grad(weighted_loss)(logits, ids, weights)
        return dlogits * dloss

    return float(loss), backward


def token_weights(targets: Any, mask: Any | None, n_counted: float | None = None) -> Array:
    """Return each token's share of the loss, shaped like ``targets``: its mask over their number.

    ``n_counted`` is the number of tokens that count where this is a part of a larger batch, so that
    the parts' losses and gradients simply add up.
    """
    counts = np.ones(targets.shape) if mask is None else np.asarray(mask, np.float64)
    return mx.array(counts / (n_counted or max(counts.sum(), 1.0)), mx.float32)


def weighted_loss(logits: Array, targets: Array, weights: Array) -> Array:
    """Return the sum of weight · -log softmax(logits)[target]: (..., V), (...), (...) -> ()."""
    target_logits = mx.take_along_axis(logits, targets[..., None], axis=-1)[..., 0]  # (...)
    return ((mx.logsumexp(logits, axis=-1) - target_logits) * weights).sum()
