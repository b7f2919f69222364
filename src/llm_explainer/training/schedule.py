"""The learning rate of each step: warm up, then come down."""

from __future__ import annotations

import math

from llm_explainer.training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """Return the learning rate of update ``step``, counted from 0.

    It rises in a straight line over ``warmup_steps`` updates, because Adam's averages start out
    empty, and then

    * ``cosine``: half a cosine down to ``min_learning_rate`` (Loshchilov and Hutter 2017, eq. 5)
    * ``linear``: a straight line down to ``min_learning_rate``
    * ``inverse_sqrt``: with 1 / sqrt(step) (Vaswani et al. 2017, section 5.3)
    * ``constant``: stays
    """
    peak, low, warmup = config.learning_rate, config.lowest_learning_rate, config.warmup_steps
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, config.steps - warmup))  # 0 to 1
    match config.schedule:
        case "cosine":
            return low + (peak - low) * (1 + math.cos(math.pi * progress)) / 2
        case "linear":
            return peak + (low - peak) * progress
        case "inverse_sqrt":
            return peak * math.sqrt(max(1, warmup) / max(1, step))
        case "constant":
            return peak


def is_due(step: int, period: int) -> bool:
    """Whether what happens every ``period`` steps happens after this one; 0 is never."""
    return period > 0 and step % period == 0
