"""Gradient times input: how much the target hangs on each token, to first order."""

from __future__ import annotations

from llm_explainer.plain.contract import Array
from llm_explainer.tracing.recording import Trace


def saliency(trace: Trace) -> Array:
    """Return, for every token, its embedding times the target's gradient by it, summed: (T,).

    To first order, what the target would lose if that embedding were zero (Shrikumar et al. 2017,
    "Learning important features through propagating activation differences", section 2.2; Denil et
    al. 2014). Positive: the token speaks for a higher target. It is a slope at this one place, and
    far from there the function bends.
    """
    embedding = trace.activations["token_embedding"]  # (T, D)
    products: Array = (embedding * trace.gradients["token_embedding"]).sum(-1)
    return products
