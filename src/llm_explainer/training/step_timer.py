"""How fast a model trains here: a few steps of a throwaway copy, timed."""

from __future__ import annotations

import dataclasses
import statistics
import time
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from llm_explainer.batch import Batch
from llm_explainer.config import ModelConfig
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.trainer import make_train_step

SECONDS = 3.0


def measure_speed(
    nn: ModuleType, model: ModelConfig, train: TrainConfig, seconds: float = SECONDS
) -> float:
    """Return the tokens a second at which ``model`` trains on the backend ``nn``, in float32.

    A single window comes first. Where that alone takes ``seconds``, it is the measurement; else
    batches as in ``train`` are timed for as long, and the median counts.
    """
    train = dataclasses.replace(train, dtype="float32", recompute=False)
    step = make_train_step(nn, nn.GPT(model), train)
    shape = (train.batch_size, model.context_length)
    tokens = np.random.default_rng(0).integers(model.vocab_size, size=shape)  # (B, T)

    def timed(windows: NDArray[np.int64]) -> float:
        start = time.perf_counter()
        step([Batch(windows, windows)], 1e-4)
        return time.perf_counter() - start

    alone = timed(tokens[:1])
    if alone >= seconds:
        return model.context_length / alone
    timed(tokens)  # the first step of a shape fetches memory from the system
    spent: list[float] = []
    while sum(spent) < seconds:
        spent.append(timed(tokens))
    return tokens.size / statistics.median(spent)
