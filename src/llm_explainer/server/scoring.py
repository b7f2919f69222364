"""How likely tokens were: log-probabilities of a model's own distribution."""

from __future__ import annotations

import numpy as np

from llm_explainer.generation.filters import Scores
from llm_explainer.server.requests import TokenScore


def token_score(logits: Scores, token: int, n_top: int, vocab_size: int) -> TokenScore:
    """Score a token by the logits (V,) of its place.

    Probabilities add up to 1 over all V ids, as the loss has it, summed in float64; the ``n_top``
    alternatives are of the ids under ``vocab_size``, those that a text can have, the lower id first
    among equals.
    """
    shifted = logits.astype(np.float64)
    shifted -= shifted.max()
    shifted -= np.log(np.exp(shifted).sum())
    top: tuple[tuple[int, float], ...] = ()
    if n_top:
        known = shifted[:vocab_size]
        n_found = min(n_top, len(known))
        likely = np.flatnonzero(known >= np.partition(known, -n_found)[-n_found])
        likeliest = likely[np.argsort(-known[likely], kind="stable")][:n_found].tolist()
        top = tuple((found, float(known[found])) for found in likeliest)
    return TokenScore(token, float(shifted[token]), top)
