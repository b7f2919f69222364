"""How long a training step takes on this machine: the one place where steps are timed.

A throwaway model of zeros is trained for a moment on random tokens; what it computes takes as long
as with any other weights. Nothing of it touches a run.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_explainer.batch import Batch
from llm_explainer.config import ModelConfig
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.train_step import make_train_step

Ids = NDArray[np.int64]

FIRST_FLOPS, FIRST_TOKENS = 2e9, 64
"""Size of the first step that is timed: a fraction of a second, unless the model is very large."""

ENOUGH_S = 0.2
"""A step of this length is long enough to be timed; shorter ones are doubled, or repeated."""

WARM_S = 1.0
"""After so long a step, what its beginning took for memory and compiling no longer counts."""

SPEED_S = 3.0
"""How long a speed is measured."""


def measure_step(nn: ModuleType, spec: ModelSpec, train: TrainConfig, n_windows: int) -> float:
    """Return the seconds that a training step on ``n_windows`` takes.

    Where a whole step would be too long to wait for, it is a line through two shorter ones.
    """
    step = make_train_step(nn, spec.build(nn), train)
    tokens = _random_tokens(spec.config, n_windows)  # (B, T)
    flops = spec.config.training_flops_per_token()
    shape = whole = tokens.shape
    while (n := math.prod(shape)) > FIRST_TOKENS and n * flops > FIRST_FLOPS:
        shape = _halved(shape)
    n_before, before_s = 0, 0.0
    n_tokens, seconds = math.prod(shape), _quickest(step, tokens[: shape[0], : shape[1]])
    while shape != whole and (seconds < ENOUGH_S or not n_before):
        n_before, before_s = n_tokens, seconds
        shape = _doubled(shape, whole)
        n_tokens, seconds = math.prod(shape), _quickest(step, tokens[: shape[0], : shape[1]])
    if shape == whole:
        return seconds
    # The update takes its time for few tokens and for many; only the rest grows with them.
    token_s = max(seconds - before_s, 0.0) / (n_tokens - n_before)
    return seconds + token_s * (math.prod(whole) - n_tokens)


def measure_speed(
    nn: ModuleType, spec: ModelSpec, train: TrainConfig, seconds: float = SPEED_S
) -> float:
    """Return the tokens a second at which a model trains on the backend ``nn``, in float32.

    A single window comes first. Where that alone takes ``seconds``, it is the measurement; else
    batches as in ``train`` are timed for as long, and the median counts.
    """
    train = dataclasses.replace(train, dtype="float32", recompute=False)
    step = make_train_step(nn, spec.build(nn), train)
    tokens = _random_tokens(spec.config, train.batch_size)  # (B, T)
    alone = _take(step, tokens[:1])
    if alone >= seconds:
        return spec.config.context_length / alone
    _take(step, tokens)  # the first step of a shape fetches memory from the system
    return tokens.size / statistics.median(_repeat(step, tokens, seconds))


def _random_tokens(config: ModelConfig, n_windows: int) -> Ids:
    shape = n_windows, config.context_length
    return np.random.default_rng(0).integers(config.vocab_size, size=shape)


def _halved(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a batch (B, T) with half the tokens: half the windows, then half of one."""
    n_windows, n_tokens = shape
    return (n_windows // 2, n_tokens) if n_windows > 1 else (1, n_tokens // 2)


def _doubled(shape: tuple[int, ...], whole: tuple[int, ...]) -> tuple[int, ...]:
    """Return a batch (B, T) with twice the tokens, and no more than the whole one has."""
    if shape[1] < whole[1]:
        return shape[0], min(2 * shape[1], whole[1])
    return min(2 * shape[0], whole[0]), shape[1]


def _quickest(step: Any, tokens: Ids) -> float:
    """Return the seconds of a step on tokens (B, T), once memory is there and all is compiled."""
    return min(_repeat(step, tokens, ENOUGH_S, WARM_S))


def _repeat(step: Any, tokens: Ids, enough_s: float, too_long_s: float = math.inf) -> list[float]:
    """Take steps until they have lasted ``enough_s`` together; return the seconds of each.

    Two steps at least, but none after one of ``too_long_s``.
    """
    times: list[float] = []
    while len(times) < 2 or sum(times) < enough_s:
        times.append(_take(step, tokens))
        if times[-1] > too_long_s:
            break
    return times


def _take(step: Any, tokens: Ids) -> float:
    """Return the seconds of one step, at a learning rate of zero."""
    start = time.perf_counter()
    step([Batch(tokens, tokens)], 0.0)
    return time.perf_counter() - start
