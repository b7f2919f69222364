"""Finding where numbers stopped being numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_explainer.layer_calls import LayerCall, layer_calls
from llm_explainer.tree import flatten


@dataclass(frozen=True)
class NonFinite:
    """What was the first that is not finite."""

    where: str  # a parameter, a layer, or what comes after the layers
    why: str


def first_non_finite(model: Any, tokens: Any) -> NonFinite:
    """Name the first parameter, else the first layer of a forward pass, that is not finite.

    Args:
        model: a ``GPT`` of either backend
        tokens: (B, T), the batch whose loss was not finite
    """
    for name, parameter in flatten(model.parameters()).items():
        if not np.isfinite(np.asarray(parameter)).all():
            return NonFinite(f"parameter {name}", "an update made it so")
    with np.errstate(all="ignore"):
        calls, logits = layer_calls(model, tokens)
    for call in calls:
        if not np.isfinite(call.y).all():
            return NonFinite(call.name, _what_it_read(call))
    largest = f"the last layer made numbers up to {np.abs(calls[-1].y).max():.1e}"
    if not np.isfinite(logits).all():
        return NonFinite("the logits", largest)
    why = f"every layer is finite, and the logits reach {np.abs(logits).max():.1e}"
    return NonFinite("the loss or its gradients", why)


def _what_it_read(call: LayerCall) -> str:
    weights = [
        np.abs(np.asarray(array)).max() for array in flatten(call.layer.parameters()).values()
    ]
    of_weights = f", and its weights reach {max(weights):.1e}" if weights else ""
    return f"it read numbers up to {np.abs(call.x).max():.1e}{of_weights}"
