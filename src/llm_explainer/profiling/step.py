"""A training step taken apart: seconds by layer and by kind of work.

Three programs take turns on the same batch, so that a machine whose speed drifts slows all alike:

1. the step as it is, with all its workers: how long it takes;
2. the step with all workers' work done by this process, and a clock that knows which layer runs:
   how much time each layer takes;
3. the same on arrays that time their own operations (``TimedArray``): how much of a layer's time
   NumPy spends on each kind of work. What is left is Python: calls, views, getting memory.

The hooks cost time themselves, so the third is asked for nothing but NumPy's own seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_explainer.batch import Batch
from llm_explainer.config import ModelConfig
from llm_explainer.numpy_backend.engine.train_step import TrainStep
from llm_explainer.numpy_backend.engine.workers import Arguments, Method
from llm_explainer.numpy_backend.model import GPT
from llm_explainer.numpy_backend.optimizer import AdamW
from llm_explainer.profiling.arrays import KINDS, timed_arrays
from llm_explainer.profiling.clock import OTHER, Clock, Counts, Tally
from llm_explainer.profiling.peak import Peak, measure_peak

PYTHON = "Python"
EMBEDDING, LINEAR, SCORES = "embedding", "attention: projections", "attention: scores"
FEED_FORWARD, NORMS, RESIDUAL = "feed-forward", "norms", "residual stream"
HEAD, OPTIMIZER, SUMMING = "head and loss", "optimizer", "adding up gradients"
LAYERS = (EMBEDDING, LINEAR, SCORES, FEED_FORWARD, NORMS, RESIDUAL, HEAD, OPTIMIZER, SUMMING, OTHER)
LEARNING_RATE = 1e-4
MIN_ROUNDS = 4


@dataclass(frozen=True)
class Profile:
    """What a step's time went into. ``work`` adds up what all workers do."""

    config: ModelConfig
    batch_size: int
    workers: int
    step_seconds: float  # of the step as it is, on the clock on the wall
    work: Mapping[str, Mapping[str, float]]  # seconds by layer and kind (KINDS, PYTHON)
    tallies: Mapping[str, Mapping[str, Tally]]  # NumPy's operations, by layer and kind
    peak: Peak  # of as many processors

    @property
    def work_seconds(self) -> float:
        """What the step would take without help: the sum over all layers and kinds."""
        return sum(sum(kinds.values()) for kinds in self.work.values())

    @property
    def tokens_per_s(self) -> float:
        """Training speed."""
        return self.batch_size * self.config.context_length / self.step_seconds

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation: the share of sgemm's peak (PaLM, appendix B)."""
        return self.tokens_per_s * self.config.training_flops_per_token() / self.peak.flops

    def by_kind(self) -> dict[str, float]:
        """Return the seconds of work of each kind, over all layers."""
        return {kind: sum(row[kind] for row in self.work.values()) for kind in (*KINDS, PYTHON)}

    def tally(self, kind: str, layers: Iterable[str] = LAYERS) -> Tally:
        """Add up the operations of a kind in some layers."""
        total = Tally()
        for layer in layers:
            part = self.tallies[layer][kind]
            total.add(part.seconds, part.flops, part.bytes)
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values; seconds are of one step."""
        kinds = {kind: self.tally(kind) for kind in KINDS}
        return {
            "config": self.config.to_dict(),
            "batch_size": self.batch_size,
            "workers": self.workers,
            "step_seconds": self.step_seconds,
            "tokens_per_s": self.tokens_per_s,
            "mfu": self.mfu,
            "peak_flops_per_s": self.peak.flops,
            "peak_bytes_per_s": self.peak.bandwidth,
            "work_seconds": {layer: dict(row) for layer, row in self.work.items()},
            "flops": {kind: tally.flops for kind, tally in kinds.items()},
            "bytes": {kind: tally.bytes for kind, tally in kinds.items()},
        }


def profile_step(
    config: ModelConfig,
    batch_size: int,
    workers: int,
    seconds: float = 6.0,
    on_progress: Callable[[float, float], None] = lambda done, total: None,
) -> Profile:
    """Take training steps on random tokens for ``seconds``, and say where the time went.

    Of the rounds, the slower half is left out: other programs had the processors then.
    """
    shape = (2, batch_size, config.context_length)
    tokens, targets = np.random.default_rng(0).integers(config.vocab_size, size=shape)
    whole = _steps(config, workers, tokens, targets)
    layers = _steps(config, workers, tokens, targets, watch=True)
    kernels = _steps(config, workers, tokens, targets, watch=True, timed=True)
    for take in (whole, layers, kernels):
        take()  # the first step fetches memory from the system
    peak = measure_peak(workers)
    rounds: list[tuple[Counts, Counts, Counts]] = []
    start = time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds or len(rounds) < MIN_ROUNDS:
        on_progress(min(passed, seconds), seconds)
        rounds.append((whole(), layers(), kernels()))
        peak = peak.better(measure_peak(workers, repeats=1))
    on_progress(seconds, seconds)
    steps, layer_counts, kernel_counts = (_quicker_half(list(c)) for c in zip(*rounds, strict=True))
    work, tallies = _take_apart(layer_counts, kernel_counts)
    step_seconds = sum(counts.total for counts in steps) / len(steps)
    return Profile(config, batch_size, workers, step_seconds, work, tallies, peak)


class _OneByOne:
    """Workers of a training step that take turns in this thread, where the clock can watch them."""

    def run(self, owner: object, method: Method, arguments: Arguments) -> list[Any]:
        """Run a method for all workers, one after the other, where the owner's is watched."""
        watched = getattr(owner, method.__name__)
        with np.errstate(all="ignore"):
            return [watched(i, *each) for i, each in enumerate(arguments)]


def _steps(
    config: ModelConfig,
    workers: int,
    tokens: Any,
    targets: Any,
    *,
    watch: bool = False,
    timed: bool = False,
) -> Callable[[], Counts]:
    """Return a function that takes a step and counts it, as closely as asked for."""
    clock = Clock()
    arrays = timed_arrays(clock) if timed else nullcontext()
    with arrays:
        model = GPT(config)
        optimizer = AdamW(model)
        step = TrainStep(model, optimizer, workers=workers)
    if watch:
        watch_step(step, clock)

    def take() -> Counts:
        arrays = timed_arrays(clock) if timed else nullcontext()
        with arrays, clock.running() as counts:
            step([Batch(tokens, targets)], LEARNING_RATE)
        return counts

    return take


def watch_step(step: TrainStep, clock: Clock) -> None:
    """Credit each layer's forward and backward passes to its label, by replacing its methods.

    From then on this thread does the work of all workers.
    """
    step._workers = _OneByOne()

    def watch(owner: Any, method: str, label: str) -> None:
        setattr(owner, method, clock.watched(getattr(owner, method), label))

    model = step.model
    watch(step, "_sum_stretch", SUMMING)
    watch(step, "_update_stretch", OPTIMIZER)
    watch(model, "loss_and_grads", HEAD)
    watch(model, "_forward_hidden", EMBEDDING)
    if model.final_norm is not None:
        watch(model.final_norm, "forward", NORMS)
    for block in model.blocks:
        watch(block, "forward", RESIDUAL)
        watch(block.attention_norm, "forward", NORMS)
        watch(block.feed_forward_norm, "forward", NORMS)
        watch(block.attention, "forward", SCORES)
        watch(block.attention.qkv_proj, "forward", LINEAR)
        watch(block.attention.out_proj, "forward", LINEAR)
        watch(block.feed_forward, "forward", FEED_FORWARD)


def _quicker_half(steps: list[Counts]) -> list[Counts]:
    return sorted(steps, key=lambda counts: counts.total)[: (len(steps) + 1) // 2]


def _take_apart(
    layer_counts: Sequence[Counts], kernel_counts: Sequence[Counts]
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, Tally]]]:
    """Average over steps: each layer's seconds, and within them NumPy's by kind."""
    work: dict[str, dict[str, float]] = {}
    tallies: dict[str, dict[str, Tally]] = {}
    for layer in LAYERS:
        seconds = sum(counts.seconds[layer] for counts in layer_counts) / len(layer_counts)
        tallies[layer] = {kind: _mean(kernel_counts, layer, kind) for kind in KINDS}
        kernels = {kind: tally.seconds for kind, tally in tallies[layer].items()}
        # A layer cannot spend more in NumPy than it takes; where two measurements disagree so,
        # the one without hooks is right.
        scale = min(1.0, seconds / max(sum(kernels.values()), 1e-12))
        work[layer] = {kind: scale * kernel for kind, kernel in kernels.items()}
        work[layer][PYTHON] = seconds - sum(work[layer].values())
    return work, tallies


def _mean(steps: Sequence[Counts], layer: str, kind: str) -> Tally:
    parts = [counts.kernels[layer, kind] for counts in steps]
    sums = (sum(getattr(p, f) for p in parts) for f in ("seconds", "flops", "bytes"))
    return Tally(*(total / len(parts) for total in sums))
