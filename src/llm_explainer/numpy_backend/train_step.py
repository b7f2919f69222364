"""One training step: gradients of a batch, clipping, and the optimizer's update.

The batch is cut into shards, one thread each: NumPy lets go of Python's lock inside its loops and
BLAS, so the threads run side by side. BLAS itself is held to one thread, because one thread for
each shard beats its own threads by 20 to 30 % (they wait for each other in every product) and does
not collapse when another program takes a core. The result depends on the number of shards (sums
are rounded in another order) but not on timing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

from llm_explainer.numpy_backend.model import GPT
from llm_explainer.numpy_backend.module import Array
from llm_explainer.numpy_backend.optimizer import Optimizer

Item = TypeVar("Item")
Result = TypeVar("Result")
Batch = tuple[Array, Array, Array | None]
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


class TrainStep:
    """Trains ``model`` with ``optimizer``, a call a step.

    Args:
        model: its parameters are those the optimizer holds
        optimizer: made for this model
        clip_norm: the gradient is scaled down to this norm (Pascanu et al. 2013); 0 never clips
        threads: shards of a batch, 0 for one for each processor
    """

    def __init__(
        self, model: GPT, optimizer: Optimizer, *, clip_norm: float = 1.0, threads: int = 0
    ) -> None:
        self.model, self.optimizer, self.clip_norm = model, optimizer, clip_norm
        self.threads = threads or available_cores()
        self._gradients = [optimizer.flat.new_tree() for _ in range(self.threads)]
        self._total = optimizer.flat.new_tree()[0]  # (size,), sum over shards and micro-batches
        self._pool = ThreadPoolExecutor(self.threads)
        self._blas = ThreadpoolController()
        n, size = self.threads, optimizer.flat.size
        self._parts = [slice(size * i // n, size * (i + 1) // n) for i in range(n)]

    def __call__(
        self, micro_batches: Sequence[Batch], learning_rate: float, dropout_seed: Sequence[int] = ()
    ) -> StepResult:
        """Update the model once with the mean loss over all tokens of ``micro_batches``.

        Micro-batches are worked through one after another and their gradients added up, which
        trains as their concatenation would in the memory of one. ``dropout_seed`` fixes the
        dropout; without one nothing is dropped.
        """
        n_counted = sum(count_targets(batch) for batch in micro_batches)
        loss = 0.0
        with self._blas.limit(limits=1, user_api="blas"):
            for index, batch in enumerate(micro_batches):
                seed = [*dropout_seed, index] if dropout_seed else None
                loss += self._add_gradients(batch, n_counted, seed, first=index == 0)
            squares = self._map(lambda p: np.dot(self._total[p], self._total[p]), self._parts)
            result = StepResult(loss, math.sqrt(sum(float(square) for square in squares)))
            if result.is_finite:
                self._update(result.grad_norm, learning_rate)
        return result

    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """Return the loss summed over the targets that count, in nats, and their number."""
        with self._blas.limit(limits=1, user_api="blas"):
            losses = self._map(
                lambda shard: self.model.loss(*shard, n_counted=1.0), self._shards(batch)
            )
        return sum(losses), count_targets(batch)

    def _add_gradients(
        self, batch: Batch, n_counted: float, seed: list[int] | None, first: bool
    ) -> float:
        """Add a micro-batch's gradients to the total (or set it) and return its share of loss."""
        shards = self._shards(batch)

        def work(index: int) -> float:
            rng = None if seed is None else np.random.default_rng([*seed, index])
            _, tree = self._gradients[index]
            loss, _ = self.model.loss_and_grads(
                *shards[index], n_counted=n_counted, rng=rng, out=tree
            )
            return loss

        losses = self._map(work, range(len(shards)))

        def reduce(part: slice) -> None:
            total = self._total[part]
            for index in range(len(shards)):
                gradient = self._gradients[index][0][part]
                if first and index == 0:
                    total[...] = gradient
                else:
                    total += gradient

        self._map(reduce, self._parts)
        return sum(losses)

    def _update(self, grad_norm: float, learning_rate: float) -> None:
        clipped = self.clip_norm and grad_norm > self.clip_norm
        scale = self.clip_norm / grad_norm if clipped else 1.0
        self.optimizer.steps += 1
        self._map(
            lambda part: self.optimizer.update_slice(self._total, learning_rate, scale, part),
            self._parts,
        )

    def _shards(self, batch: Batch) -> list[Batch]:
        """Cut a batch along B into as many parts as there are threads, or as it has rows."""
        tokens, targets, mask = batch
        n = min(self.threads, len(tokens))
        cuts = [slice(len(tokens) * i // n, len(tokens) * (i + 1) // n) for i in range(n)]
        return [(tokens[c], targets[c], None if mask is None else mask[c]) for c in cuts]

    def _map(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Run ``work`` on every item, side by side; what is not finite shows in the result."""

        def quietly(item: Item) -> Result:
            with np.errstate(all="ignore"):
                return work(item)

        return list(self._pool.map(quietly, items))


def count_targets(batch: Batch) -> float:
    """Return the number of targets that count towards the loss."""
    _, targets, mask = batch
    return float(targets.size if mask is None else mask.sum())


def available_cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
