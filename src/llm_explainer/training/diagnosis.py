"""Finding where numbers stopped being numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_explainer.layer_calls import layer_calls
from llm_explainer.tree import flatten


def first_non_finite(model: Any, tokens: Any) -> str:
    """Name the first parameter, else the first layer of a forward pass, that is not finite.

    Args:
        model: a ``GPT`` of either backend
        tokens: (B, T), the batch whose loss was not finite
    """
    for name, parameter in flatten(model.parameters()).items():
        if not np.isfinite(np.asarray(parameter)).all():
            return f"parameter {name}"
    with np.errstate(all="ignore"):
        calls, logits = layer_calls(model, tokens)
    for call in calls:
        if not np.isfinite(call.y).all():
            return call.name
    if not np.isfinite(logits).all():
        return "the logits"
    return "the loss or its gradients"
