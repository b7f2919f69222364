"""Cross-entropy: how surprised the model is by the token that came.

Explained in ``Tutorial/08 - Training.md``.
"""

import numpy as np

from llm_explainer.plain.contract import Array, Loss


def cross_entropy(logits: Array, targets: Array, mask: Array | None = None) -> Loss:
    """Mean of -log softmax(logits)[target], in nats (Goodfellow et al. 2016, section 6.2.2.3).

    logits (..., V), targets (...), mask (...) of 0 and 1: only tokens with 1 count; without a mask
    all do. If none counts, the loss is 0. ``backward()`` returns dlogits.

    >>> logits, targets = np.log([[1.0, 3.0], [1.0, 1.0]]), np.array([0, 1])
    >>> loss, backward = cross_entropy(logits, targets)
    >>> round(loss, 4)  # (log 4 + log 2) / 2
    1.0397
    >>> backward()  # (probability - 1 for the target, probability for the others) / 2
    array([[-0.375,  0.375],
           [ 0.25 , -0.25 ]])
    >>> round(cross_entropy(logits, targets, mask=np.array([0, 1]))[0], 4)  # log 2
    0.6931
    """
    counts = np.ones(targets.shape) if mask is None else mask
    shares = (counts / max(counts.sum(), 1)).astype(logits.dtype)  # (...): of the loss
    shifted = logits - logits.max(-1, keepdims=True)  # (..., V): exp cannot overflow
    log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # log softmax
    is_target = targets[..., None] == np.arange(logits.shape[-1])  # (..., V), one in each row
    surprises = -np.where(is_target, log_p, 0).sum(-1)  # (...)

    def backward() -> Array:
        dlogits: Array = (np.exp(log_p) - is_target) * shares[..., None]  # (..., V)
        return dlogits

    return float((surprises * shares).sum()), backward
