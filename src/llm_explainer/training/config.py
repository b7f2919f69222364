"""How a model is trained: one frozen, validated dataclass."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from llm_explainer.config import InitScheme
from llm_explainer.errors import ConfigError
from llm_explainer.settings import setting

Schedule = Literal["cosine", "linear", "constant", "inverse_sqrt"]
OptimizerName = Literal["adamw", "muon", "sgd"]
Windows = Literal["random", "documents", "epochs"]
Precision = Literal["float32", "bfloat16"]

MOST_WINDOWS = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything that decides what a run computes, but for the model and the data.

    A period (``*_every``) is in steps; 0 means never, but for the end of the run. What suits a
    named size is in ``recipes.py``, which the commands go by.

    Raises:
        ConfigError: a value that cannot work.
    """

    steps: int = setting(1000, "updates of the parameters")
    batch_size: int = setting(16, "windows in a batch")
    accumulate: int = setting(1, "batches in a step, whose gradients add up")
    micro_batch: int = setting(
        0, "windows of a batch that are worked through at once; 0: as many as fit in memory"
    )
    windows: Windows = setting(
        "random",
        "random places; documents: each begins with one; epochs: all once before any comes again",
    )
    learning_rate: float = setting(1e-3, "the highest, reached after warm-up")
    schedule: Schedule = setting("cosine", "cosine, linear, constant or inverse_sqrt")
    warmup_steps: int = setting(100, "steps in which the learning rate rises")
    min_learning_rate: float | None = setting(
        None, "where cosine and linear end; without it, a tenth of learning_rate"
    )
    optimizer: OptimizerName = setting("adamw", "adamw, muon (fewer steps, each dearer) or sgd")
    beta1: float = setting(0.9, "AdamW's memory of the gradient; SGD's momentum")
    beta2: float = setting(0.99, "AdamW's memory of the squared gradient")
    eps: float = setting(1e-8, "added to AdamW's divisor")
    weight_decay: float = setting(0.1, "shrinks matrices; never biases and norms")
    clip_norm: float = setting(1.0, "largest norm of a step's gradient; 0 never clips")
    seed: int = setting(0, "fixes initial weights, batches and dropout")
    init_scheme: InitScheme = setting("normal", "normal or truncated_normal initial weights")
    eval_every: int = setting(100, "steps between evaluations")
    eval_windows: int = setting(64, "windows in an evaluation; the last one takes all")
    patience: int = setting(
        0, "evaluations in a row that may be no better than the best; then training ends. 0: never"
    )
    sample_every: int = setting(200, "steps between samples of the model's writing")
    sample_prompt: str = setting("", "what samples continue; empty starts a new document")
    checkpoint_every: int = setting(200, "steps between checkpoints")
    keep_checkpoints: int = setting(2, "newest checkpoints kept, beside the best")
    keep_milestones: int = setting(
        0, "early states kept for good, weights only: the fresh model, then ever three times as far"
    )
    workers: int = setting(
        0, "processes that share a batch, or threads where none can fork; 0: one a processor"
    )
    dtype: Precision = setting(
        "float32", "float32, or bfloat16 (MLX only): half the memory of what is kept, rounded more"
    )
    recompute: bool = setting(
        False, "compute each block again in the backward pass: less memory, a third more time"
    )
    memory_limit_gb: float = setting(
        0.0, "memory that training may take, in GB; 0: what this machine has free"
    )

    def __post_init__(self) -> None:
        """Check every value, and fill in the lowest learning rate."""
        for field in ("steps", "batch_size", "accumulate", "eval_windows", "keep_checkpoints"):
            self._require(field, int, at_least=1)
        periods = ("eval_every", "sample_every", "checkpoint_every")
        counts = ("warmup_steps", "seed", "workers", "micro_batch", "patience", "keep_milestones")
        for field in (*periods, *counts):
            self._require(field, int, at_least=0)
        for field in ("learning_rate", "eps"):
            self._require(field, float, above=0)
        if self.min_learning_rate is None:
            object.__setattr__(self, "min_learning_rate", self.learning_rate / 10)
        for field in ("min_learning_rate", "weight_decay", "clip_norm", "memory_limit_gb"):
            self._require(field, float, at_least=0)
        for field in ("beta1", "beta2"):
            self._require(field, float, at_least=0, below=1)
        self._require_choice("schedule", get_args(Schedule))
        self._require_choice("optimizer", get_args(OptimizerName))
        self._require_choice("windows", get_args(Windows))
        self._require_choice("init_scheme", ("normal", "truncated_normal"))
        self._require_choice("dtype", get_args(Precision))
        if not isinstance(self.recompute, bool):
            raise ConfigError(f"recompute is {self.recompute!r}; it takes true or false")
        if self.patience and not self.eval_every:
            raise ConfigError(
                f"patience is {self.patience} evaluations, but eval_every is 0, so there are none; "
                "give eval_every, or a patience of 0"
            )
        if self.batch_size > MOST_WINDOWS:
            raise ConfigError(f"batch_size is {self.batch_size}; it takes 1 to {MOST_WINDOWS}")
        if self.micro_batch > self.batch_size:
            raise ConfigError(
                f"micro_batch {self.micro_batch} is more than batch_size {self.batch_size}; "
                "it takes at most that"
            )
        if self.lowest_learning_rate > self.learning_rate:
            raise ConfigError(
                f"min_learning_rate {self.min_learning_rate:g} is above learning_rate "
                f"{self.learning_rate:g}; it takes at most that"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return dataclasses.asdict(self)

    @property
    def lowest_learning_rate(self) -> float:
        """Where cosine and linear end."""
        assert self.min_learning_rate is not None  # filled in at construction
        return self.min_learning_rate

    def _require(
        self,
        field: str,
        kind: type,
        *,
        at_least: float = -math.inf,
        above: float = -math.inf,
        below: float = math.inf,
    ) -> None:
        value = getattr(self, field)
        kinds = (int,) if kind is int else (int, float)
        is_number = isinstance(value, kinds) and not isinstance(value, bool)
        if not (is_number and at_least <= value < below and value > above):
            noun = "a whole number" if kind is int else "a number"
            low = f" above {above:g}" if above > -math.inf else f" of {at_least:g} or more"
            high = f" and under {below:g}" if below < math.inf else ""
            raise ConfigError(f"{field} is {value!r}; it takes {noun}{low}{high}")

    def _require_choice(self, field: str, choices: tuple[str, ...]) -> None:
        if getattr(self, field) not in choices:
            raise ConfigError(
                f"{field} is {getattr(self, field)!r}; choose one of {', '.join(choices)}"
            )
