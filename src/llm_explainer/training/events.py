"""What a trainer tells those who watch it: the run log, the live view, a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from llm_explainer.training.evaluation import Evaluation


@dataclass(frozen=True)
class StepDone:
    """An update of the parameters."""

    step: int  # updates done so far
    loss: float  # nats a token, on this step's batch before the update
    learning_rate: float
    grad_norm: float  # before clipping
    tokens: int  # that the step trained on
    seconds: float
    peak_memory: int = 0  # bytes, the most so far; 0 where the system does not say


@dataclass(frozen=True)
class Evaluated:
    """A measurement on the validation text."""

    step: int
    evaluation: Evaluation
    best: bool  # lower than all before it on the same sample of windows
    whole: bool  # on all of the validation text, not a sample of its windows


@dataclass(frozen=True)
class Sampled:
    """Text that the model wrote."""

    step: int
    text: str


@dataclass(frozen=True)
class Answered:
    """Questions that the model answered."""

    step: int
    n_right: int  # to the letter
    n_ended: int  # by the end token
    n_asked: int
    examples: tuple[tuple[str, str, str], ...]  # the question, the answer given, the right one


@dataclass(frozen=True)
class Saving:
    """A checkpoint is about to be written."""

    step: int


@dataclass(frozen=True)
class Saved:
    """A checkpoint is on disk."""

    step: int
    path: Path


Event = StepDone | Evaluated | Sampled | Answered | Saving | Saved
Observer = Callable[[Event], None]
