"""What a training step is given and gives back, on either backend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

Batch = tuple[Any, Any, Any | None]
"""Tokens (B, T), targets (B, T), and a mask (B, T) of the targets that count, or None for all."""


@dataclass(frozen=True)
class StepResult:
    """What a step measured before its update."""

    loss: float  # nats a token
    grad_norm: float  # Euclidean norm of the whole gradient, before clipping

    @property
    def is_finite(self) -> bool:
        """Whether both are numbers; if not, the step changed nothing."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def count_targets(batch: Batch) -> float:
    """Return the number of targets that count towards the loss."""
    _, targets, mask = batch
    return float(targets.size if mask is None else mask.sum())


def in_parts(batches: Iterable[Batch], n_rows: int) -> Iterator[Batch]:
    """Cut batches along B into parts of ``n_rows``, or where that is 0 leave them whole.

    The last part of a batch may have fewer rows.
    """
    for tokens, targets, mask in batches:
        size = n_rows or len(tokens)
        for start in range(0, len(tokens), size):
            rows = slice(start, start + size)
            yield tokens[rows], targets[rows], None if mask is None else mask[rows]
