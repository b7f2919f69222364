"""What a training step is predicted to take, by what the model and its rows are."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from mlx_twins import mlx_backend
from small_models import FAMILIES, small_config

from llm_explainer import numpy_backend
from llm_explainer.config import ModelConfig
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training.preflight import shortened


def test_memory_goes_by_the_longest_row_and_not_by_a_long_context() -> None:
    long = ModelConfig.preset("tiny", family="llama", context_length=8192)
    spec = shortened(ModelSpec(long), 300)
    assert spec.config == dataclasses.replace(long, context_length=300)
    assert shortened(ModelSpec(long), None).config == long
    assert shortened(ModelSpec(long), 9000).config == long
    learned = ModelConfig.preset("tiny", context_length=8192)  # whose positions are parameters
    assert shortened(ModelSpec(learned), 300).config == learned


@pytest.mark.parametrize("nn", [numpy_backend, mlx_backend], ids=["numpy", "mlx"])
def test_norms_of_queries_and_keys_take_memory(nn: Any) -> None:
    plain_one, normed = (
        nn.training_bytes(ModelSpec(small_config(**FAMILIES["llama"], qk_norm=flag)), 4, 1)
        for flag in (False, True)
    )
    assert normed > 1.01 * plain_one
