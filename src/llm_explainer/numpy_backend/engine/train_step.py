"""One training step: gradients of a batch, clipping, and the optimizer's update.

The batch is cut into shards, one for each worker (``workers.py``): parameters are shared, and each
shard has a gradient buffer of its own. BLAS is held to one thread, because one thread for each
shard beats its own threads by 20 to 30 % (they wait for each other in every product) and does not
collapse when another program takes a core. The result depends on the number of shards (sums are
rounded in another order) but not on timing, nor on the kind of workers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from llm_explainer.batch import Batch, StepResult, in_micro_batches
from llm_explainer.machine import available_cores
from llm_explainer.numpy_backend.engine.precision import check_dtype
from llm_explainer.numpy_backend.engine.workers import Arguments, make_workers
from llm_explainer.numpy_backend.model import GPT
from llm_explainer.numpy_backend.module import Array
from llm_explainer.numpy_backend.optimizer import Optimizer


class TrainStep:
    """Trains ``model`` with ``optimizer``, a call a step.

    Args:
        model: its parameters are those the optimizer holds
        optimizer: made for this model; the workers know the settings that it and the model have at
            the first call, and whatever the arrays hold
        clip_norm: the gradient is scaled down to this norm (Pascanu et al. 2013); 0 never clips
        threads: shards of a batch, 0 for one for each processor
        micro_batch: rows of a batch worked through at a time, 0 for all; fewer take less memory
        dtype: float32, the one that NumPy has; MLX's twin can compute in bfloat16
        recompute: each block runs again in the backward pass, instead of keeping what it computed
        group: nothing here, since one process does it all; MLX's twin shares a batch with others

    Raises:
        ConfigError: another dtype.
    """

    def __init__(
        self,
        model: GPT,
        optimizer: Optimizer,
        *,
        clip_norm: float = 1.0,
        threads: int = 0,
        micro_batch: int = 0,
        dtype: str = "float32",
        recompute: bool = False,
        group: None = None,
    ) -> None:
        check_dtype(dtype)
        self.model, self.optimizer, self.clip_norm = model, optimizer, clip_norm
        self.threads = threads or available_cores()
        self.micro_batch, self.recompute = micro_batch, recompute
        # Only what is written to takes memory: with a single batch a step, ``_total`` takes none.
        self._gradients = [optimizer.flat.new_tree() for _ in range(self.threads)]
        self._total = optimizer.flat.new_tree()[0]  # (size,), sum over several batches
        self._workers = make_workers(self.threads)
        self._blas = ThreadpoolController()
        n, size = self.threads, optimizer.flat.size
        self._parts = [slice(size * i // n, size * (i + 1) // n) for i in range(n)]

    def __call__(
        self,
        batches: Sequence[Batch],
        learning_rate: float,
        dropout_seed: Sequence[int] = (),
        n_counted: float | None = None,
    ) -> StepResult:
        """Update the model once with the mean loss over all tokens of ``batches``.

        They are worked through one after another, in parts of ``micro_batch`` rows, and their
        gradients added up, which trains as their concatenation would in the memory of one part:
        all is the same up to rounding, but for which numbers drop out. ``dropout_seed`` fixes the
        dropout; without one nothing is dropped. ``n_counted`` is the number of targets that count
        in all where other processes train on the rest of the batch (default: those here).
        """
        if n_counted is None:
            n_counted = sum(batch.n_counted for batch in batches)
        parts = list(in_micro_batches(batches, self.micro_batch))
        loss, squares = 0.0, 0.0
        with self._blas.limit(limits=1, user_api="blas"):
            for index, part in enumerate(parts):
                seed = [*dropout_seed, index] if dropout_seed else None
                added, squares = self._add_gradients(part, n_counted, seed, index, len(parts))
                loss += added
            result = StepResult(loss, math.sqrt(squares))
            if result.is_finite:
                self._update(result.grad_norm, learning_rate, whole=len(parts) == 1)
        return result

    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """Return the loss summed over the targets that count, in nats, and their number."""
        losses: list[float] = []
        with self._blas.limit(limits=1, user_api="blas"):
            for part in in_micro_batches([batch], self.micro_batch):
                losses += self._run("_shard_loss", self._shards(part))
        return sum(losses), batch.n_counted

    def _add_gradients(
        self, batch: Batch, n_counted: float, seed: list[int] | None, index: int, n_batches: int
    ) -> tuple[float, float]:
        """Add the gradients of batch ``index`` of ``n_batches`` to those before it.

        Returns its share of the loss, and the sum of all squares so far.
        """
        shards = [(*shard, n_counted, seed) for shard in self._shards(batch)]
        losses = self._run("_shard_gradients", shards)
        squares = self._run("_sum_part", [(len(shards), index, n_batches)] * self.threads)
        return sum(losses), sum(squares)

    def _update(self, grad_norm: float, learning_rate: float, whole: bool) -> None:
        clipped = self.clip_norm and grad_norm > self.clip_norm
        scale = self.clip_norm / grad_norm if clipped else 1.0
        n_steps = self.optimizer.steps + 1
        self._run("_update_part", [(n_steps, learning_rate, scale, whole)] * self.threads)

    def _shards(self, batch: Batch) -> list[Batch]:
        """Cut a batch along B into as many parts as there are workers, or as it has rows."""
        n_rows = len(batch.tokens)
        n = min(self.threads, n_rows)
        return [batch.rows(slice(n_rows * i // n, n_rows * (i + 1) // n)) for i in range(n)]

    def _run(self, method: str, arguments: Arguments) -> list[Any]:
        """Call one of the methods below in every worker that has arguments."""
        return self._workers.run(self, method, arguments)

    # What follows runs in the workers, side by side; ``worker`` says in which.

    def _shard_gradients(
        self,
        worker: int,
        tokens: Array,
        targets: Array,
        mask: Array | None,
        n_counted: float,
        seed: list[int] | None,
    ) -> float:
        """Write a shard's gradients into the worker's buffer and return its share of the loss."""
        loss, _ = self.model.loss_and_grads(
            tokens,
            targets,
            mask,
            n_counted=n_counted,
            rng=None if seed is None else np.random.default_rng([*seed, worker]),
            recompute=self.recompute,
            out=self._gradients[worker][1],
        )
        return loss

    def _shard_loss(self, worker: int, tokens: Array, targets: Array, mask: Array | None) -> float:
        """Return the loss summed over a shard's targets."""
        return self.model.loss(tokens, targets, mask, n_counted=1.0)

    def _sum_part(self, worker: int, n_shards: int, index: int, n_batches: int) -> float:
        """Sum a part of the gradients over shards, and with batches before; return its squares."""
        part = self._parts[worker]
        total = self._gradients[0][0][part]  # a batch alone is summed where its first shard is
        if n_batches > 1:
            first, total = total, self._total[part]
            if index == 0:
                total[...] = first
            else:
                total += first
        for gradients, _ in self._gradients[1:n_shards]:
            total += gradients[part]
        return float(np.dot(total, total))

    def _update_part(
        self, worker: int, n_steps: int, learning_rate: float, scale: float, whole: bool
    ) -> None:
        """Update a part of the parameters with the gradients that ``_sum_part`` left."""
        self.optimizer.steps = n_steps
        gradients = self._gradients[0][0] if whole else self._total
        self.optimizer.update_slice(gradients, learning_rate, scale, self._parts[worker])
