"""One training step: gradients of a batch, clipping, and the optimizer's update.

The batch is cut into shards, one for each worker (``workers.py``): parameters are shared, and each
shard has a gradient buffer of its own. BLAS is held to one thread, because one thread for each
shard beats its own threads by 20 to 30 % (they wait for each other in every product) and does not
collapse when another program takes a core. The result depends on the number of shards (sums are
rounded in another order) but not on timing, nor on the kind of workers.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

from llm_explainer.array_checks import check_batches
from llm_explainer.batch import Batch, StepResult, in_micro_batches
from llm_explainer.errors import WorkerLost
from llm_explainer.machine import available_cores
from llm_explainer.model_spec import check_trainable
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
            the first call, what is frozen too, and whatever the arrays of what learns hold
        clip_norm: the gradient is scaled down to this norm (Pascanu et al. 2013); 0 never clips
        workers: that share a batch, a shard each; 0 for one for each processor
        micro_batch: rows of a batch worked through at a time, 0 for all; fewer take less memory
        dtype: float32, the one that NumPy has; MLX's twin can compute in bfloat16
        recompute: each block runs again in the backward pass, instead of keeping what it computed
        group: nothing here, since one process does it all; MLX's twin shares a batch with others

    Raises:
        ConfigError: another dtype; the optimizer was made for another choice of what learns.
    """

    def __init__(
        self,
        model: GPT,
        optimizer: Optimizer,
        *,
        clip_norm: float = 1.0,
        workers: int = 0,
        micro_batch: int = 0,
        dtype: str = "float32",
        recompute: bool = False,
        group: None = None,
    ) -> None:
        check_dtype(dtype)
        self.model, self.optimizer, self.clip_norm = model, optimizer, clip_norm
        self._check_trainable()
        self.n_workers = workers or available_cores()
        self.micro_batch, self.recompute = micro_batch, recompute
        # The gradient of the step, flat and as a tree. The first shard of the first micro-batch is
        # written there, and all others are added. A buffer takes memory from when it is written to,
        # so shard 0's takes none where there is but one micro-batch.
        self._gradient = optimizer.flat.new_buffer()
        self._shard_buffers = [optimizer.flat.new_buffer() for _ in range(self.n_workers)]
        self._workers = make_workers(self.n_workers)
        self._blas = ThreadpoolController()
        n, size = self.n_workers, optimizer.flat.size
        self._stretches = [slice(size * i // n, size * (i + 1) // n) for i in range(n)]

    def __call__(
        self,
        batches: Sequence[Batch],
        learning_rate: float,
        dropout_seed: Sequence[int] = (),
        n_counted: float | None = None,
    ) -> StepResult:
        """Update the model once with the mean loss over all tokens of ``batches``.

        They are worked through one after another, in micro-batches of ``micro_batch`` rows, and
        their gradients added up, which trains as their concatenation would in the memory of one:
        all is the same up to rounding, but for which numbers drop out. ``dropout_seed`` fixes the
        dropout; without one nothing is dropped. ``n_counted`` is the number of targets that count
        in all where other processes train on the rest of the batch (default: those here).

        Raises:
            ConfigError: batches that this model cannot take.
        """
        check_batches(self.model.config.vocab_size, batches, n_counted)
        if self._n_freezes != self.model.n_freezes:
            self._check_trainable()
        if n_counted is None:
            n_counted = sum(batch.n_counted for batch in batches)
        loss, squares = 0.0, 0.0
        with self._blas.limit(limits=1, user_api="blas"):
            for index, micro_batch in enumerate(in_micro_batches(batches, self.micro_batch)):
                seed = [*dropout_seed, index] if dropout_seed else None
                share, squares = self._add_gradients(micro_batch, n_counted, seed, index)
                loss += share
            result = StepResult(loss, math.sqrt(squares))
            if result.is_finite:
                self._update(result.grad_norm, learning_rate)
        return result

    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """Return the loss summed over the targets that count, in nats, and their number."""
        check_batches(self.model.config.vocab_size, [batch])
        losses: list[float] = []
        with self._blas.limit(limits=1, user_api="blas"):
            for micro_batch in in_micro_batches([batch], self.micro_batch):
                losses += self._run(TrainStep._shard_loss, self._shards(micro_batch))
        return sum(losses), batch.n_counted

    def _check_trainable(self) -> None:
        """Raise a ConfigError where other parameters learn than the optimizer holds."""
        check_trainable(self.model, self.optimizer.names)
        self._n_freezes = self.model.n_freezes

    def _add_gradients(
        self, micro_batch: Batch, n_counted: float, seed: list[int] | None, index: int
    ) -> tuple[float, float]:
        """Add the gradients of micro-batch ``index`` to those before it.

        Returns its share of the loss, and the sum of all squares so far.
        """
        shards = self._shards(micro_batch)
        losses = self._run(
            TrainStep._shard_gradients, [(*shard, n_counted, seed, index) for shard in shards]
        )
        squares = self._run(TrainStep._sum_stretch, [(len(shards), index)] * self.n_workers)
        return sum(losses), sum(squares)

    def _update(self, grad_norm: float, learning_rate: float) -> None:
        clipped = self.clip_norm and grad_norm > self.clip_norm
        scale = self.clip_norm / grad_norm if clipped else 1.0
        n_steps = self.optimizer.steps + 1
        try:
            self._run(TrainStep._update_stretch, [(n_steps, learning_rate, scale)] * self.n_workers)
        except WorkerLost as lost:
            lost.weights_are_whole = False
            raise

    def _shards(self, batch: Batch) -> list[Batch]:
        """Cut a batch along B into as many shards as there are workers, or as it has rows."""
        n_rows = len(batch.tokens)
        n = min(self.n_workers, n_rows)
        return [batch.rows(slice(n_rows * i // n, n_rows * (i + 1) // n)) for i in range(n)]

    def _run(self, method: Callable[..., Any], arguments: Arguments) -> list[Any]:
        """Call one of the methods below in every worker that has arguments."""
        return self._workers.run(self, method, arguments)

    # What follows runs in the workers, side by side; ``worker`` says in which.

    def _shard_gradients(
        self,
        worker: int,
        tokens: Array,
        targets: Array,
        mask: Array | None,
        segments: Array | None,
        n_counted: float,
        seed: list[int] | None,
        index: int,
    ) -> float:
        """Write the gradients of a shard of micro-batch ``index``; return its share of the loss."""
        is_first = worker == 0 and index == 0
        buffer = self._gradient if is_first else self._shard_buffers[worker]
        loss, _ = self.model.loss_and_grads(
            tokens,
            targets,
            mask,
            segments,
            n_counted=n_counted,
            rng=None if seed is None else np.random.default_rng([*seed, worker]),
            recompute=self.recompute,
            out=buffer.tree,
        )
        return loss

    def _shard_loss(
        self,
        worker: int,
        tokens: Array,
        targets: Array,
        mask: Array | None,
        segments: Array | None,
    ) -> float:
        """Return the loss summed over a shard's targets."""
        return self.model.loss(tokens, targets, mask, segments, n_counted=1.0)

    def _sum_stretch(self, worker: int, n_shards: int, index: int) -> float:
        """Add the shards of a micro-batch to a stretch of the gradient; return its squares."""
        stretch = self._stretches[worker]
        gradient = self._gradient.flat[stretch]
        n_there = 1 if index == 0 else 0  # the first shard of all
        for buffer in self._shard_buffers[n_there:n_shards]:
            gradient += buffer.flat[stretch]
        return float(np.dot(gradient, gradient))

    def _update_stretch(
        self, worker: int, n_steps: int, learning_rate: float, scale: float
    ) -> None:
        """Update a stretch of the parameters with the gradient."""
        self.optimizer.steps = n_steps
        stretch = self._stretches[worker]
        self.optimizer.update_slice(self._gradient.flat, learning_rate, scale, stretch)
