"""What a training step is given and gives back, on either backend."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple


class Batch(NamedTuple):
    """Windows of text: what the model reads, and what it should say after each token.

    The arrays are NumPy's, B windows of T tokens.
    """

    tokens: Any  # (B, T) ids
    targets: Any  # (B, T) ids, the token after each
    mask: Any | None = None  # (B, T) of 0 and 1: the targets that count; None for all
    segments: Any | None = None  # (B, T) ids: tokens see those of their own; None: all of a row

    def rows(self, rows: slice) -> Batch:
        """Return some of the windows; views, no copies."""
        return Batch(*(None if array is None else array[rows] for array in self))

    @property
    def n_counted(self) -> float:
        """The number of targets that count towards the loss."""
        return float(self.targets.size if self.mask is None else self.mask.sum())


@dataclass(frozen=True)
class StepResult:
    """What a step measured before its update."""

    loss: float  # nats a token
    grad_norm: float  # Euclidean norm of the whole gradient, before clipping

    @property
    def is_finite(self) -> bool:
        """Whether both are numbers; if not, the step changed nothing."""
        return math.isfinite(self.loss) and math.isfinite(self.grad_norm)


def in_micro_batches(batches: Iterable[Batch], n_rows: int) -> Iterator[Batch]:
    """Cut batches along B into micro-batches of ``n_rows``; where that is 0, leave them whole.

    The last micro-batch of a batch may have fewer rows.
    """
    for batch in batches:
        size = n_rows or len(batch.tokens)
        for start in range(0, len(batch.tokens), size):
            yield batch.rows(slice(start, start + size))
