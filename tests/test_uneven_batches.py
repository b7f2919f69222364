"""A step divides by the tokens that count in all of its batches, however they are spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from small_models import random_tokens, small_config

from llm_explainer import LoRAConfig, apply_lora, numpy_backend
from llm_explainer.batch import Batch
from llm_explainer.tree import flatten

try:
    from llm_explainer import mlx_backend

    BACKENDS: list[Any] = [numpy_backend, mlx_backend]
except ImportError:
    BACKENDS = [numpy_backend]

T = 6


def uneven(B: int = 32) -> Batch:
    """Return a batch of which row i counts between one token and all."""
    config = small_config()
    mask = np.arange(T) >= T - 1 - np.arange(B)[:, None] % T
    return Batch(random_tokens(config, B, T, 1), random_tokens(config, B, T, 2), mask)


def single(batch: Batch) -> list[Batch]:
    """Return the rows as batches of their own."""
    return [batch.rows(slice(row, row + 1)) for row in range(len(batch.tokens))]


def trained(nn: Any, lora: bool, batches: Sequence[Batch], workers: int) -> dict[str, Any]:
    """Return what one step of plain gradient descent makes of a model."""
    model = nn.GPT(small_config(), seed=3)
    if lora:
        model = apply_lora(model, LoRAConfig(rank=2, targets="all-linear,head"), seed=1)
    step = nn.TrainStep(model, nn.SGD(model, momentum=0.0), clip_norm=0.0, workers=workers)
    step(batches, 1.0)
    return {name: np.array(array) for name, array in flatten(model.trainable()).items()}


@pytest.mark.parametrize("nn", BACKENDS, ids=lambda nn: nn.NAME)
@pytest.mark.parametrize("lora", [False, True], ids=["full", "lora"])
def test_32_together_are_32_alone(nn: Any, lora: bool) -> None:
    batch = uneven()
    assert len(set(batch.mask.sum(1))) == T
    together = trained(nn, lora, [batch], 2)
    alone = trained(nn, lora, single(batch), 1)
    for name, array in together.items():
        np.testing.assert_allclose(alone[name], array, atol=1e-6, err_msg=name)
