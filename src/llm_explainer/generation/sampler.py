"""Which token comes next: one sampler for all backends, on the logits as a NumPy array."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from llm_explainer.errors import GenerationError
from llm_explainer.generation.filters import (
    Indices,
    Scores,
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    softmax,
)
from llm_explainer.generation.sampling_config import SamplingConfig


class Sampler:
    """Chooses the tokens of one text.

    Its random numbers depend on the seed and on ``index`` alone, so a text in a batch is the same
    whatever stands beside it.

    Args:
        sampling: the settings.
        index: which of the seed's texts this is.
        prompt: ids that the repetition penalty counts as seen.
        unpenalized: ids that may repeat: those that end a text, since texts would run on.
    """

    def __init__(
        self,
        sampling: SamplingConfig,
        index: int = 0,
        prompt: Sequence[int] = (),
        unpenalized: Collection[int] = (),
    ) -> None:
        self._sampling = sampling
        self._rng = np.random.default_rng([sampling.seed, index])
        self._seen = set(prompt)
        self._unpenalized = unpenalized

    def choose(self, logits: Scores) -> int:
        """Return the next token's id for logits (V,), and count it as seen.

        Raises:
            GenerationError: logits that are not finite.
        """
        if self._sampling.repetition_penalty != 1:
            logits = self._penalized(logits)
        likeliest = int(logits.argmax())  # nan counts as the highest
        require_finite(logits[likeliest])
        if self._sampling.temperature == 0:
            token = likeliest
        else:
            token = self._draw(*distribution(logits.astype(np.float64), self._sampling))
        self._seen.add(token)
        return token

    def _penalized(self, logits: Scores) -> Scores:
        seen = [token for token in self._seen if token not in self._unpenalized]
        penalty = self._sampling.repetition_penalty
        return penalize_repetition(logits.astype(np.float64), seen, penalty)

    def _draw(self, tokens: Indices, probabilities: Scores) -> int:
        """Draw one of ``tokens`` (K,) by inverting the cumulative distribution."""
        cumulative = np.cumsum(probabilities)  # (K,)
        # In (0, total]: never 0, so the first token with a share above it has a share of its own,
        # and never over the last.
        share = (1 - self._rng.random()) * cumulative[-1]
        return int(tokens[np.searchsorted(cumulative, share)])


def require_finite(highest: float) -> None:
    """Raise a GenerationError where a model's highest score is no number to choose by."""
    if not math.isfinite(highest):
        raise GenerationError(
            f"the model's highest score is {highest}; its weights are damaged or its "
            "training diverged, so try an earlier checkpoint"
        )


def distribution(logits: Scores, sampling: SamplingConfig) -> tuple[Indices, Scores]:
    """Return the tokens (K,) that may come next after logits (V,), and their probabilities (K,).

    The temperature must be over 0. Top-p counts the probabilities that top-k left, made to add up
    to 1 again; for min-p, which compares them, that makes no difference.
    """
    with np.errstate(over="ignore"):  # far below the highest and a tiny temperature: -inf is right
        scores = (logits - logits.max()) / sampling.temperature  # (V,)
    top_k = len(scores) if sampling.top_k is None else sampling.top_k
    tokens = keep_top_k(scores, top_k)
    probabilities = softmax(scores[tokens])
    if sampling.top_p is not None and sampling.top_p < 1:
        kept = keep_top_p(probabilities, sampling.top_p)
        tokens, probabilities = tokens[kept], probabilities[kept]
    if sampling.min_p:
        kept = keep_min_p(probabilities, sampling.min_p)
        tokens, probabilities = tokens[kept], probabilities[kept]
    return tokens, probabilities / probabilities.sum()
