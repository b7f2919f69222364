"""Milestones: a few early states of a model that a run keeps, so that learning can be looked at."""

from __future__ import annotations

from llm_explainer.training.config import TrainConfig

RATIO = 3
"""Of one milestone's step to the one before: most of what can be seen happens early."""


def milestone_steps(config: TrainConfig) -> list[int]:
    """Return the steps after which weights are kept, lowest first; the end is not among them.

    The fresh model, then each time three times as far: a third of the way is the last. A short run
    may have fewer than are to be kept.

    >>> milestone_steps(TrainConfig(steps=4200, keep_milestones=6))
    [0, 17, 51, 155, 466, 1400]
    >>> milestone_steps(TrainConfig(steps=10, keep_milestones=6))
    [0, 1, 3]
    """
    later = {config.steps // RATIO**k for k in range(1, config.keep_milestones)}
    return sorted({0} | later) if config.keep_milestones else []
