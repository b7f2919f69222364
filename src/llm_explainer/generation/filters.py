"""Which tokens may come next: each filter looks at one distribution and says what stays.

All work on one text's scores, (V,) for a vocabulary of V tokens, and among equals prefer the lower
id. None sorts the whole vocabulary: at 50,000 tokens that would cost more than all the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.floating[Any]]
Indices = NDArray[np.intp]


def softmax(logits: Scores) -> Scores:
    """Turn scores (V,) into probabilities (V,)."""
    exps = np.exp(logits - logits.max())  # exp cannot overflow; the result is the same
    probabilities: Scores = exps / exps.sum()
    return probabilities


def penalize_repetition(logits: Scores, seen: Sequence[int], penalty: float) -> Scores:
    """Make the tokens ``seen`` less likely by a ``penalty`` over 1; returns new logits (V,).

    Keskar et al. 2019 (CTRL), section 4.1, divide the logit. That would make a negative one more
    likely, so those are multiplied instead.

    >>> penalize_repetition(np.array([2.0, -2.0, 2.0]), [0, 1], 2.0)
    array([ 1., -4.,  2.])
    """
    penalized = logits.copy()
    of_seen = logits[seen]
    penalized[seen] = np.where(of_seen > 0, of_seen / penalty, of_seen * penalty)
    return penalized


def keep_top_k(scores: Scores, k: int) -> Indices:
    """Return where the ``k`` highest scores (V,) stand, in ascending order (Fan et al. 2018).

    >>> keep_top_k(np.array([0.1, 0.5, 0.3, 0.1]), 3)
    array([0, 1, 2])
    """
    if k >= len(scores):
        return np.arange(len(scores))
    return _keep_down_to(np.partition(scores, -k)[-k], scores, k)


def keep_top_p(probabilities: Scores, p: float) -> Indices:
    """Return the nucleus: the fewest likeliest tokens whose probabilities (V,) add up to ``p``.

    Holtzman et al. 2020, section 3.1. Indices are in ascending order.

    >>> keep_top_p(np.array([0.1, 0.5, 0.3, 0.1]), 0.75)
    array([1, 2])
    """
    if p >= 1:
        return np.arange(len(probabilities))
    # Tokens below (1 - p) / V have less than 1 - p together, so the others suffice for the
    # nucleus, and only those need sorting. (Half of it, to be safe from rounding.)
    enough = probabilities[probabilities >= 0.5 * (1 - p) / len(probabilities)]
    enough.sort()
    highest_first = enough[::-1]
    # The token that reaches p belongs to the nucleus. What a sum of rounded numbers misses by is
    # no reason for one more: 0.7 + 0.1 is to reach 0.8, and in float64 it falls short.
    n_kept = int(highest_first.cumsum().searchsorted(p * (1 - 1e-12))) + 1
    return _keep_down_to(highest_first[n_kept - 1], probabilities, n_kept)


def keep_min_p(probabilities: Scores, p: float) -> Indices:
    """Return the tokens with at least ``p`` times the highest of the probabilities (V,).

    Nguyen et al. 2024, section 3. Indices are in ascending order.

    >>> keep_min_p(np.array([0.1, 0.5, 0.3, 0.1]), 0.5)
    array([1, 2])
    """
    return np.flatnonzero(probabilities >= p * probabilities.max())


def _keep_down_to(lowest: np.floating[Any], scores: Scores, n: int) -> Indices:
    """Return the indices of ``n`` scores: all those over ``lowest``, and the first equal to it."""
    (kept,) = (scores >= lowest).nonzero()
    if len(kept) > n:
        (equal,) = (scores == lowest).nonzero()
        kept = np.setdiff1d(kept, equal[n - len(kept) :])
    return kept
