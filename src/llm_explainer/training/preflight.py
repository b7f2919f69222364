"""Before the first step: what will this run take, and does it fit?

Memory is counted from the model's shape, time is measured on a model that is thrown away. Nothing
of it touches the run, which ends with the same bytes whether it was predicted or not. The one thing
that is decided here, how many windows are worked through at once, is recorded with the run.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from types import ModuleType

from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.step_timer import measure_step

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
    more: str = ""  # what takes time that nobody measured, in words

    def summary(self) -> str:
        """Return it in one line, for people."""
        line = (
            f"memory: about {_gigabytes(self.memory_bytes)} of {_gigabytes(self.limit_bytes)}; "
            f"time: about {_duration(self.seconds)}"
        )
        if self.more:
            line += f", {self.more}"
        if self.micro_batch < self.batch_size:
            line += f"; batches of {self.batch_size} windows in parts of {self.micro_batch}, to fit"
        return line


def preflight(
    nn: ModuleType,
    spec: ModelSpec,
    train: TrainConfig,
    *,
    first_step: int = 0,
    n_processes: int = 1,
) -> Preflight:
    """Predict what a run takes, and choose how many windows to work through at once.

    Args:
        nn: the backend
        spec: of the model that is trained
        train: how; its ``workers`` are known, and a ``micro_batch`` of 0 is for us to choose
        first_step: updates that are done already
        n_processes: that share every batch

    Raises:
        ConfigError: a dtype that the backend or device lacks; more memory needed than there is,
            even for one window at a time or for the ``micro_batch`` asked for.
    """
    nn.check_dtype(train.dtype)
    n_rows = math.ceil(train.batch_size / n_processes)
    limit = nn.claim_memory(train.memory_limit_gb)
    n_windows = _fitting_windows(nn, spec, train, n_rows, limit)
    part_s = measure_step(nn, spec, train, n_windows)
    window_s = part_s / n_windows
    steps = train.steps - first_step
    n_evaluations = 1 + (steps // train.eval_every if train.eval_every else 0)
    evaluated = n_evaluations * math.ceil(train.eval_windows / n_processes)
    trained = steps * train.accumulate * n_rows
    return Preflight(
        batch_size=n_rows,
        micro_batch=n_windows,
        memory_bytes=_needed(nn, spec, train, n_windows),
        limit_bytes=limit,
        seconds=window_s * (trained + FORWARD_SHARE * evaluated),
        tokens_per_s=spec.config.context_length / window_s,
    )


def shortened(spec: ModelSpec, longest: int | None) -> ModelSpec:
    """Return a model with a context of the longest row that it will see, to predict by.

    One that was made for 8,192 tokens takes little memory for records of 300. Learned positions
    are parameters, so such a model stays as it is.
    """
    config = spec.config
    if longest is None or longest >= config.context_length or config.position == "learned":
        return spec
    return replace(spec, config=replace(config, context_length=longest))


def _fitting_windows(
    nn: ModuleType, spec: ModelSpec, train: TrainConfig, n_rows: int, limit: int
) -> int:
    """Return the windows to work through at once: as many as fit, in parts of one size."""
    fewest = min(train.micro_batch, n_rows) or 1
    needed = _needed(nn, spec, train, fewest)
    if needed <= limit:
        if train.micro_batch:
            return fewest
        sizes = range(1, n_rows + 1)
        most = bisect_right(sizes, limit, key=lambda size: _needed(nn, spec, train, size))
        # 16 windows of which 15 fit are two parts of 8, not 15 and 1.
        return math.ceil(n_rows / -(-n_rows // most))
    raise ConfigError(
        f"training on {_count(fewest)} at a time takes about {_gigabytes(needed)} of "
        f"memory, and there are {_gigabytes(limit)}; {_advice(nn, spec, train, n_rows, limit)}"
    )


def _advice(nn: ModuleType, spec: ModelSpec, train: TrainConfig, n_rows: int, limit: int) -> str:
    """Say what would fit into the memory that there is."""
    for n_windows in range(min(train.micro_batch, n_rows), 0, -1):
        if _needed(nn, spec, train, n_windows) <= limit:
            return f"close other programs, or use --micro-batch {n_windows}"
    recomputing = nn.training_bytes(spec, 1, train.workers, dtype=train.dtype, recompute=True)
    if not train.recompute and recomputing <= limit:
        return f"--recompute would take about {_gigabytes(recomputing)}"
    return "use a smaller --size or a shorter --context-length"


def _needed(nn: ModuleType, spec: ModelSpec, train: TrainConfig, n_windows: int) -> int:
    n_bytes: int = nn.training_bytes(
        spec, n_windows, train.workers, dtype=train.dtype, recompute=train.recompute
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
