"""One training step: gradients of a batch, clipping, and the optimizer's update, compiled as one.

``mx.compile`` traces a Python function once for every shape of its inputs, fuses what it can, and
from then on runs the result. The parameters and the optimizer's state are no arguments but declared
to it as what the function reads and changes. Where the loss or the gradient's norm is not finite,
the compiled step writes back the old values, so nothing waits for Python to decide.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map

from llm_explainer.array_checks import check_batches
from llm_explainer.batch import Batch, StepResult, in_micro_batches
from llm_explainer.machine import available_cores
from llm_explainer.mlx_backend.engine.distributed import ProcessGroup
from llm_explainer.mlx_backend.engine.precision import DTYPES, check_dtype
from llm_explainer.mlx_backend.loss import token_weights, weighted_loss
from llm_explainer.mlx_backend.model import GPT
from llm_explainer.mlx_backend.module import Array, Key, as_ids
from llm_explainer.mlx_backend.optimizer import Optimizer
from llm_explainer.model_spec import check_trainable
from llm_explainer.tree import Tree, flatten

Total = tuple[Array, Tree]
"""Loss and gradients, summed over the micro-batches so far."""


class TrainStep:
    """Trains ``model`` with ``optimizer``, a call a step.

    Args:
        model: its parameters are those the optimizer holds
        optimizer: made for this model
        clip_norm: the gradient is scaled down to this norm (Pascanu et al. 2013); 0 never clips
        workers: nothing here, since MLX schedules its own work; NumPy's twin shares a batch out
        micro_batch: rows of a batch worked through at a time, 0 for all; fewer take less memory
        dtype: float32 or bfloat16, of the products and of what the backward pass needs; parameters,
            optimizer state, loss and the sum of gradients are float32 in any case
        recompute: each block runs again in the backward pass, instead of keeping what it computed
        group: the processes that train on a batch together, as ``connect`` returns them; all of
            them make the same calls, each with its rows of the batch

    Raises:
        ConfigError: a dtype that the device lacks; the optimizer was made for another choice of
            what learns.
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
        group: ProcessGroup | None = None,
    ) -> None:
        check_dtype(dtype)
        self.model, self.optimizer, self.clip_norm = model, optimizer, clip_norm
        self._check_trainable()
        self.n_workers = workers or available_cores()
        self.micro_batch, self.dtype, self.recompute = micro_batch, dtype, recompute
        self.group = group
        self._state = [model, optimizer.arrays]
        self._accumulate = compile_on_gpu(self._add_gradients, reads=self._state)
        self._finish = compile_on_gpu(self._add_and_update, reads=self._state, writes=self._state)
        self._summed_loss = compile_on_gpu(self._loss, reads=self._state)

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
        if self.group is not None:  # whose mean then is a sum over the whole batch
            n_counted /= self.group.size
        inputs = [
            (*self._arrays(micro_batch, n_counted), _dropout_key(dropout_seed, index))
            for index, micro_batch in enumerate(in_micro_batches(batches, self.micro_batch))
        ]
        total: Total | None = None
        for arrays in inputs[:-1]:
            total = self._accumulate(total, *arrays)
            mx.eval(total)  # or the memory of all of them would be needed at once
        loss, norm = self._finish(total, *inputs[-1], self.optimizer.rates(learning_rate))
        mx.eval(loss, norm, self._state)
        result = StepResult(float(loss), float(norm))
        self.optimizer.steps += result.is_finite
        return result

    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """Return the loss summed over the targets that count, in nats, and their number.

        It is computed in float32, whatever training computes in: this is the model that is saved.
        """
        check_batches(self.model.config.vocab_size, [batch])
        loss = 0.0
        for micro_batch in in_micro_batches([batch], self.micro_batch):
            loss += float(self._summed_loss(*self._arrays(micro_batch, n_counted=1.0)))
        return loss, batch.n_counted

    def _check_trainable(self) -> None:
        """Raise a ConfigError where other parameters learn than the optimizer holds."""
        check_trainable(self.model, self.optimizer.names)
        self._n_freezes = self.model.n_freezes

    def _add_gradients(
        self,
        total: Total | None,
        tokens: Array,
        targets: Array,
        weights: Array,
        segments: Array | None,
        key: Key | None,
    ) -> Total:
        loss, grads = self.model.differentiate(
            tokens,
            targets,
            weights,
            segments,
            key,
            dtype=DTYPES[self.dtype],
            recompute=self.recompute,
        )
        if total is None:
            return loss, grads
        return total[0] + loss, tree_map(mx.add, total[1], grads)

    def _add_and_update(self, total: Total | None, *arrays_and_rates: Any) -> tuple[Array, Array]:
        """Take the last micro-batch, then update; return the loss and the gradient's norm."""
        *arrays, rates = arrays_and_rates
        loss, grads = self._add_gradients(total, *arrays)
        if self.group is not None:
            loss, grads = self.group.average((loss, grads))
        squares = [mx.square(grad).sum() for grad in flatten(grads).values()]
        norm = mx.sqrt(mx.stack(squares).sum())
        if self.clip_norm:
            scale = mx.minimum(self.clip_norm / norm, 1.0)
            grads = tree_map(lambda grad: grad * scale, grads)
        self.optimizer.apply(grads, rates, where=mx.isfinite(loss) & mx.isfinite(norm))
        return loss, norm

    def _loss(self, tokens: Array, targets: Array, weights: Array, segments: Array | None) -> Array:
        return weighted_loss(self.model.unchecked(tokens, segments), targets, weights)

    def _arrays(self, batch: Batch, n_counted: float) -> tuple[Array, Array, Array, Array | None]:
        """Return tokens, targets, weights and segments (B, T) as MLX has them."""
        tokens, targets, mask, segments = batch
        # Here, since an error while a function is being traced leaves the traces in the model.
        self.model.check_length(tokens.shape[1])
        return (
            as_ids(tokens),
            as_ids(targets),
            token_weights(targets, mask, n_counted),
            None if segments is None else as_ids(segments),
        )


def compile_on_gpu(
    function: Callable[..., Any], *, reads: list[Any], writes: list[Any] | None = None
) -> Callable[..., Any]:
    """Return the function compiled, with the containers of arrays that it reads and changes.

    On a CPU it stays as it is: MLX would call the machine's C++ compiler for about a second for
    each fused operation, and gain nothing.
    """
    if mx.default_device() == mx.Device(mx.cpu):
        return function
    return mx.compile(function, inputs=reads, outputs=writes)


def _dropout_key(seed: Sequence[int], index: int) -> Key | None:
    """Return a key for a step's micro-batch, or None where nothing is to be dropped."""
    if not seed:
        return None
    return mx.array(np.random.SeedSequence([*seed, index]).generate_state(2))
