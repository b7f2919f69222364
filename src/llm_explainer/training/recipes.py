"""How a model of each size is trained when nobody says how."""

from __future__ import annotations

from typing import Any, NamedTuple

from llm_explainer.config import SIZES
from llm_explainer.errors import ConfigError
from llm_explainer.training.config import TrainConfig

N_EVALUATIONS = 8


class Recipe(NamedTuple):
    """What differs from size to size."""

    batch_size: int  # windows
    steps: int
    learning_rate: float  # the highest


RECIPES = {
    # Small batches: what a small model needs in little time is many updates.
    "tiny": Recipe(4, 600, 4e-3),
    "small": Recipe(8, 1000, 4e-3),
    "medium": Recipe(8, 1000, 1.5e-3),
    "large": Recipe(8, 1000, 8e-4),
    "50m": Recipe(8, 1000, 6e-4),
    "gpt2-small": Recipe(4, 1000, 4e-4),
    "gpt2-medium": Recipe(4, 1000, 3e-4),
}


def recipe(size: str, steps: int | None = None, **settings: Any) -> TrainConfig:
    """Return how a named size is trained: in ``steps`` updates, or as many as are usual for it.

    ``settings`` are other fields of the result.

    Raises:
        ConfigError: no such size, or a setting that cannot work.
    """
    if size not in RECIPES:
        raise ConfigError(f"unknown model size {size!r}; choose one of {', '.join(SIZES)}")
    usual = RECIPES[size]
    n_steps = usual.steps if steps is None else steps
    period = max(1, -(-n_steps // N_EVALUATIONS))  # rounded up: the last evaluation is at the end
    return TrainConfig(
        **settings,
        steps=n_steps,
        batch_size=usual.batch_size,
        learning_rate=usual.learning_rate,
        warmup_steps=min(100, max(0, n_steps // 10)),
        beta2=0.99,
        eval_every=period,
        eval_windows=64,
        sample_every=2 * period,
        checkpoint_every=4 * period,
    )
