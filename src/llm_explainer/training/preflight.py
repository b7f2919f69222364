"""Before the first step: what will this run take, and does it fit?

Memory is counted from the model's shape, time is measured on a model that is thrown away. Nothing
of it touches the run, which ends with the same bytes whether it was predicted or not. The one thing
that is decided here, how many windows are worked through at once, is recorded with the run.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from llm_explainer.batch import Batch
from llm_explainer.config import ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.trainer import make_train_step

FIRST_FLOPS, FIRST_TOKENS = 2e9, 64
"""Size of the first step that is timed: a fraction of a second, unless the model is very large."""

ENOUGH_S = 0.2
"""A step of this length is long enough to be timed; shorter ones are doubled, or repeated."""

WARM_S = 1.0
"""After so long a step, what its beginning took for memory and compiling no longer counts."""

FORWARD_SHARE = 1 / 3
"""An evaluation's part of a training step: its forward pass, and none of the two behind it."""


@dataclass(frozen=True)
class Preflight:
    """What a run will take on this machine."""

    batch_size: int  # windows in a batch, of this process
    micro_batch: int  # windows of it worked through at once
    memory_bytes: int  # expected at the peak
    limit_bytes: int  # that training may take
    seconds: float  # expected for the steps and evaluations still to do
    tokens_per_s: float  # measured just now, of this process

    def summary(self) -> str:
        """Return it in one line, for people."""
        line = (
            f"memory: about {_gigabytes(self.memory_bytes)} of {_gigabytes(self.limit_bytes)}; "
            f"time: about {_duration(self.seconds)}"
        )
        if self.micro_batch < self.batch_size:
            line += f"; batches of {self.batch_size} windows in parts of {self.micro_batch}, to fit"
        return line


def preflight(
    nn: ModuleType,
    model: ModelConfig,
    train: TrainConfig,
    *,
    first_step: int = 0,
    n_processes: int = 1,
) -> Preflight:
    """Predict what a run takes, and choose how many windows to work through at once.

    Args:
        nn: the backend
        model: what is trained
        train: how; its ``threads`` are known, and a ``micro_batch`` of 0 is for us to choose
        first_step: updates that are done already
        n_processes: that share every batch

    Raises:
        ConfigError: a dtype that the backend or device lacks; more memory needed than there is,
            even for one window at a time or for the ``micro_batch`` asked for.
    """
    nn.check_dtype(train.dtype)
    n_rows = math.ceil(train.batch_size / n_processes)
    limit = nn.claim_memory(train.memory_limit_gb)
    n_windows = _fitting_windows(nn, model, train, n_rows, limit)
    part_s = measure_step(nn, model, train, n_windows)
    window_s = part_s / n_windows
    steps = train.steps - first_step
    n_evaluations = 1 + (steps // train.eval_every if train.eval_every else 0)
    evaluated = n_evaluations * math.ceil(train.eval_windows / n_processes)
    trained = steps * train.accumulate * n_rows
    return Preflight(
        batch_size=n_rows,
        micro_batch=n_windows,
        memory_bytes=_needed(nn, model, train, n_windows),
        limit_bytes=limit,
        seconds=window_s * (trained + FORWARD_SHARE * evaluated),
        tokens_per_s=model.context_length / window_s,
    )


def measure_step(nn: ModuleType, model: ModelConfig, train: TrainConfig, n_windows: int) -> float:
    """Return the seconds that a training step on ``n_windows`` takes on this machine.

    A model of zeros is trained for a moment: what it computes takes as long. Where a whole step
    would be too long to wait for, it is a line through two shorter ones.
    """
    step = make_train_step(nn, nn.GPT(model, init_scheme="zeros"), train)
    shape = n_windows, model.context_length
    whole = n_windows, model.context_length
    flops = model.training_flops_per_token()
    shape = whole
    while (n := math.prod(shape)) > FIRST_TOKENS and n * flops > FIRST_FLOPS:
        shape = _halved(shape)
    n_before, before_s = 0, 0.0
    n_tokens, seconds = math.prod(shape), _time(step, shape)
    while shape != whole and (seconds < ENOUGH_S or not n_before):
        n_before, before_s = n_tokens, seconds
        shape = _doubled(shape, whole)
        n_tokens, seconds = math.prod(shape), _time(step, shape)
    if shape == whole:
        return seconds
    # The update takes its time for few tokens and for many; only the rest grows with them.
    token_s = max(seconds - before_s, 0.0) / (n_tokens - n_before)
    return seconds + token_s * (math.prod(whole) - n_tokens)


def _halved(shape: tuple[int, int]) -> tuple[int, int]:
    """Return a batch (B, T) with half the tokens: half the windows, then half of one."""
    n_windows, n_tokens = shape
    return (n_windows // 2, n_tokens) if n_windows > 1 else (1, n_tokens // 2)


def _doubled(shape: tuple[int, int], whole: tuple[int, int]) -> tuple[int, int]:
    """Return a batch (B, T) with twice the tokens, and no more than the whole one has."""
    if shape[1] < whole[1]:
        return shape[0], min(2 * shape[1], whole[1])
    return min(2 * shape[0], whole[0]), shape[1]


def _time(step: Any, shape: tuple[int, int]) -> float:
    """Return the seconds of a step on zeros (B, T), once memory is there and all is compiled."""
    tokens = np.zeros(shape, np.int64)
    times: list[float] = []
    while len(times) < 2 or sum(times) < ENOUGH_S:
        start = time.perf_counter()
        step([Batch(tokens, tokens)], 0.0)
        times.append(time.perf_counter() - start)
        if times[-1] > WARM_S:
            break
    return min(times)


def _fitting_windows(
    nn: ModuleType, model: ModelConfig, train: TrainConfig, n_rows: int, limit: int
) -> int:
    """Return the windows to work through at once: as many as fit, in parts of one size."""
    if train.micro_batch:
        candidates = [min(train.micro_batch, n_rows)]
    else:
        candidates = list(range(n_rows, 0, -1))
    for n_windows in candidates:
        if _needed(nn, model, train, n_windows) <= limit:
            # 16 windows of which 15 fit are two parts of 8, not 15 and 1.
            return n_windows if train.micro_batch else math.ceil(n_rows / -(-n_rows // n_windows))
    needed = _needed(nn, model, train, candidates[-1])
    raise ConfigError(
        f"training on {_count(candidates[-1])} at a time takes about {_gigabytes(needed)} of "
        f"memory, and there are {_gigabytes(limit)}; {_advice(nn, model, train, n_rows, limit)}"
    )


def _advice(nn: ModuleType, model: ModelConfig, train: TrainConfig, n_rows: int, limit: int) -> str:
    """Say what would fit into the memory that there is."""
    for n_windows in range(min(train.micro_batch, n_rows), 0, -1):
        if _needed(nn, model, train, n_windows) <= limit:
            return f"close other programs, or use --micro-batch {n_windows}"
    recomputing = nn.training_bytes(
        ModelSpec(model), 1, train.threads, dtype=train.dtype, recompute=True
    )
    if not train.recompute and recomputing <= limit:
        return f"--recompute would take about {_gigabytes(recomputing)}"
    return "use a smaller --size or a shorter --context-length"


def _needed(nn: ModuleType, model: ModelConfig, train: TrainConfig, n_windows: int) -> int:
    n_bytes: int = nn.training_bytes(
        ModelSpec(model), n_windows, train.threads, dtype=train.dtype, recompute=train.recompute
    )
    return n_bytes


def _count(n_windows: int) -> str:
    return "one window" if n_windows == 1 else f"{n_windows} windows"


def _gigabytes(n_bytes: int) -> str:
    """Return bytes as people read them: 0.04 GB, 0.4 GB, 23 GB."""
    return f"{n_bytes / 1e9:.1g} GB" if n_bytes < 1e9 else f"{n_bytes / 1e9:.2g} GB"


def _duration(seconds: float) -> str:
    """Return a length of time as people say it: 40 s, 2 min, 3.5 h, 4 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
