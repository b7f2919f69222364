"""Corners of the layers that random numbers seldom reach."""

from __future__ import annotations

import numpy as np
import pytest

from llm_explainer import numpy_backend as nn
from llm_explainer.init import initializer
from llm_explainer.numpy_backend.attention import attend
from llm_explainer.numpy_backend.kernels import add_to_rows


def test_relu_has_slope_0_at_0() -> None:
    _, backward = nn.ReLU().forward(np.zeros(2))
    np.testing.assert_array_equal(backward(np.ones(2))[0], [0, 0])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("ids", [[2, 3, 4], [1, 1, 2], [0, 2, 4], [4, 3, 2], [3], []])
def test_rows_get_what_is_added_beside_what_they_have(ids: list[int], order: str) -> None:
    """Whether the ids follow each other, as positions do, repeat, or skip some."""
    rng = np.random.default_rng(0)
    table, values = rng.normal(size=(5, 3)), rng.normal(size=(len(ids), 3))
    expected = table.copy()
    for row, value in zip(ids, values, strict=True):
        expected[row] += value
    table = np.array(table, order=order)
    add_to_rows(table, np.array(ids, int), values)
    np.testing.assert_allclose(table, expected, rtol=1e-12)


def test_a_linear_layer_writes_what_it_returns() -> None:
    """With its bias, which the model's own heads do not have; for many rows, few and one."""
    layer = nn.Linear(4, 5, init=initializer(0)).astype(np.float64)
    layer.bias = np.arange(5.0)
    for n_rows in (1, 3, 50):
        x = np.random.default_rng(0).normal(size=(n_rows, 4))
        y = np.full((n_rows, 5), np.nan)
        layer.write(x, y)
        np.testing.assert_allclose(y, x @ layer.weight.T + layer.bias, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e3, 1e6])
def test_cached_attention_of_huge_scores_takes_the_largest(scale: float) -> None:
    """exp of such scores is infinite, of their distance to the largest it is not."""
    q = np.full((1, 1, 1, 1, 2), scale, np.float32)  # (B, K, G, T, H)
    k = np.array([[[[1, 2], [3, 4], [-5, 1]]]], np.float32)  # (B, K, S, H)
    v = np.array([[[[1, 2], [3, 4], [5, 6]]]], np.float32)
    np.testing.assert_array_equal(attend(q, k, v, None), [[[3, 4]]])
    np.testing.assert_array_equal(attend(-q, k, v, None), [[[5, 6]]])
    hidden = np.array([[False, True, False]])  # (T, S)
    np.testing.assert_array_equal(attend(q, k, v, hidden), [[[1, 2]]])
