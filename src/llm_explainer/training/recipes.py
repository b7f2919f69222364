"""How a model of each size is trained when nobody says how.

The recipe stands over the defaults of ``TrainConfig``, and what a person typed stands over both.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from llm_explainer.config import SIZES, ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.training.config import TrainConfig

N_EVALUATIONS = 8
FINETUNING_BATCH = 8  # records, or windows full of them


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


def recipe(size: str, **typed: Any) -> TrainConfig:
    """Return how a named size is trained; ``typed`` are fields of the result that are given.

    Raises:
        ConfigError: no such size, or a setting that cannot work.
    """
    if size not in RECIPES:
        raise ConfigError(f"unknown model size {size!r}; choose one of {', '.join(SIZES)}")
    usual = RECIPES[size]._asdict()
    n_steps: int = typed.get("steps", RECIPES[size].steps)
    period = max(1, -(-n_steps // N_EVALUATIONS))  # rounded up: the last evaluation is at the end
    settings = {
        **usual,
        "warmup_steps": min(100, max(0, n_steps // 10)),
        "eval_every": period,
        "sample_every": 2 * period,
        "checkpoint_every": 4 * period,
    }
    return TrainConfig(**{**settings, **typed})


def finetuning_recipe(
    model: ModelConfig, n_rows: int, *, lora: bool, epochs: float | None = None, **typed: Any
) -> TrainConfig:
    """Return how a model is fine-tuned; ``typed`` are fields of the result that are given.

    The rate goes by the size that is nearest: a quarter of what it was pre-trained with, so that
    what it knows stays, or with ``lora`` ten times that, because an adapter begins at nothing.
    With another rank it stays what it is: alpha / rank is for that (Hu et al. 2021, section 4.1).

    Args:
        model: that is fine-tuned
        n_rows: of an epoch: records, or windows full of them
        lora: whether only adapters learn
        epochs: how often each record comes; three times, unless this or ``steps`` says otherwise
        **typed: fields of ``TrainConfig``

    Raises:
        ConfigError: epochs and steps at once, or a setting that cannot work.
    """
    if epochs is not None and "steps" in typed:
        raise ConfigError(
            f"epochs is {epochs:g} and steps is {typed['steps']}; give one of the two"
        )
    if epochs is not None and not 0 < epochs < math.inf:
        raise ConfigError(f"epochs is {epochs}; it takes a number above 0")
    batch_size = min(typed.get("batch_size", FINETUNING_BATCH), max(1, n_rows))
    n_together = max(1, batch_size * typed.get("accumulate", 1))  # 0 is refused below
    n_steps: int = typed.get("steps") or math.ceil((epochs or 3) * n_rows / n_together)
    period = max(1, -(-n_steps // N_EVALUATIONS))
    usual_rate = RECIPES[nearest_size(model)].learning_rate / 4
    settings = {
        "steps": n_steps,
        "batch_size": batch_size,
        "learning_rate": usual_rate * (10 if lora else 1),
        "warmup_steps": min(50, n_steps // 10),
        "weight_decay": 0.0 if lora else 0.1,
        "eval_every": period,
        "eval_windows": 256,
        "sample_every": period,
        "checkpoint_every": 4 * period,
    }
    return TrainConfig(**{**settings, **typed})


def nearest_size(model: ModelConfig) -> str:
    """Return the named size whose number of parameters is nearest to a model's, by their ratio."""
    n = model.count_parameters()

    def distance(size: str) -> float:
        return abs(math.log(n / ModelConfig.preset(size).count_parameters()))

    return min(SIZES, key=distance)


def _range(field: str) -> str:
    values = [getattr(usual, field) for usual in RECIPES.values()]
    return f"by size: {min(values):g} to {max(values):g}"


DEFAULTS = {
    **{field: _range(field) for field in Recipe._fields},
    "warmup_steps": "a tenth of steps, 100 at most",
    "eval_every": "an eighth of steps",
    "sample_every": "a quarter of steps",
    "checkpoint_every": "half of steps",
}
"""What a recipe sets, and to what, in words for ``--help``."""

FINETUNING_DEFAULTS = {
    "steps": "three epochs",
    "batch_size": f"{FINETUNING_BATCH}, or as many records as there are",
    "learning_rate": "by the base's size",
    "warmup_steps": "a tenth of steps, 50 at most",
    "weight_decay": "0.1; with LoRA 0",
    "eval_every": "an eighth of steps",
    "eval_windows": "256 records",
    "sample_every": "as often as evaluations",
    "checkpoint_every": "half of steps",
}
"""The same for fine-tuning."""
