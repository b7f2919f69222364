"""Recomputing blocks in the backward pass: the same gradients, less memory, on both backends."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import numpy as np
import pytest
from mlx_twins import mlx_backend, mx
from small_models import FAMILIES, SWITCHES, random_model, random_tokens, small_config

from llm_explainer import numpy_backend
from llm_explainer.batch import Batch
from llm_explainer.tree import flatten

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
DEEP = {"context_length": 16, "d_model": 16, "d_ff": 64, "n_layers": 8}


@each_switch
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_numpy_gradients_are_the_same_to_the_bit(changes: dict[str, Any], dropout: float) -> None:
    """With dropout, the second pass must drop what the first one did."""
    model = random_model(small_config(**{"n_layers": 2, **changes}, dropout=dropout), np.float32)
    tokens = random_tokens(model.config, 3, 5)
    results = [
        model.loss_and_grads(
            tokens, tokens, rng=np.random.default_rng(7) if dropout else None, recompute=recompute
        )
        for recompute in (False, True)
    ]
    assert results[0][0] == results[1][0]
    expected, actual = flatten(results[0][1]), flatten(results[1][1])
    assert list(actual) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


@each_family
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_mlx_gradients_are_the_same(family: dict[str, Any], dropout: float) -> None:
    model = mlx_backend.GPT(small_config(**{**family, "n_layers": 2, "dropout": dropout}))
    tokens = random_tokens(model.config, 3, 5)
    results = [
        model.loss_and_grads(
            tokens, tokens, rng=mx.random.key(7) if dropout else None, recompute=recompute
        )
        for recompute in (False, True)
    ]
    assert results[0][0] == results[1][0]
    expected, actual = flatten(results[0][1]), flatten(results[1][1])
    assert list(actual) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("nn", [numpy_backend, mlx_backend], ids=["numpy", "mlx"])
@each_family
def test_a_step_trains_the_same(nn: Any, family: dict[str, Any]) -> None:
    """The option reaches the model: same loss, same parameters after two steps with dropout."""
    ends = []
    for recompute in (False, True):
        model = nn.GPT(small_config(**{**family, "n_layers": 2, "dropout": 0.2}))
        step = nn.TrainStep(model, nn.SGD(model), workers=1, recompute=recompute)
        tokens = random_tokens(model.config, 4, 6)
        result = [step([Batch(tokens, tokens)], 0.1, (1, n)).loss for n in range(2)]
        ends.append((result, flatten(model.parameters())))
    assert ends[1][0] == pytest.approx(ends[0][0], abs=1e-6)
    for name, array in ends[0][1].items():
        np.testing.assert_allclose(
            np.asarray(ends[1][1][name]), np.asarray(array), atol=1e-6, err_msg=name
        )


@each_family
def test_numpy_keeps_one_block_instead_of_eight(family: dict[str, Any]) -> None:
    model = numpy_backend.GPT(small_config(**{**family, **DEEP}))
    tokens = random_tokens(model.config, 8, 16)
    grads = model.loss_and_grads(tokens, tokens)[1]
    peaks = []
    for recompute in (False, True):
        gc.collect()
        tracemalloc.start()
        model.loss_and_grads(tokens, tokens, recompute=recompute, out=grads)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 0.4 * peaks[0]


@each_family
def test_mlx_keeps_one_block_instead_of_eight(family: dict[str, Any]) -> None:
    model = mlx_backend.GPT(small_config(**{**family, **DEEP}))
    tokens = random_tokens(model.config, 8, 16)
    mx.eval(model.parameters())
    peaks = []
    for recompute in (False, True):
        gc.collect()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        mx.eval(model.loss_and_grads(tokens, tokens, recompute=recompute)[1])
        peaks.append(mx.get_peak_memory() - before)
    assert peaks[1] < 0.7 * peaks[0]
