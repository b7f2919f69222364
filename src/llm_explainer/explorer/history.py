"""Learning on the page: the same text at every state that a run has kept of its model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llm_explainer.explorer.content import Content
from llm_explainer.plain.contract import Array
from llm_explainer.tracing import Moment

SHADES = 11
"""Steps from 0 to a row's largest weight: enough for small pictures, and half the bytes."""


def put_history(content: Content, moments: Sequence[Moment]) -> None:
    """Put what the page shows of M moments; T tokens, R rows of the lens.

    Under ``history/``: losses (M, T-1); attention (M, n_layers, n_heads, T, T), in shades; tokens
    and probabilities (M, R, T), of the lens's likeliest; of_target and ranks (M, R, T).
    """
    lenses = [moment.lens for moment in moments]
    content.put("history/losses", np.stack([m.losses for m in moments]), "float32")
    content.put("history/attention", np.stack([_in_shades(m.attention) for m in moments]), "int8")
    content.put("history/tokens", np.stack([lens.tokens[..., 0] for lens in lenses]), "uint32")
    chances = np.stack([lens.probabilities[..., 0] for lens in lenses])
    content.put("history/probabilities", chances, "float16")
    of_target = np.stack([lens.target_probabilities for lens in lenses])
    content.put("history/of_target", of_target, "float16")
    content.put("history/ranks", np.stack([lens.ranks for lens in lenses]), "uint32")
    content.facts["history"] = {
        "steps": [moment.step for moment in moments],
        "samples": [moment.sample for moment in moments],
        "continued": [moment.continued for moment in moments],
        "rows": lenses[0].rows,
        "targets": lenses[-1].targets.tolist(),
    }


def _in_shades(weights: Array) -> Array:
    """Return weights (..., T, T) rounded to so many steps of each row's largest."""
    step = weights.max(-1, keepdims=True) / SHADES
    shaded: Array = np.rint(weights / step) * step
    return shaded
