"""Cross-entropy: its value, its gradient, its mask."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_explainer.gradcheck import numeric_gradient, relative_error
from llm_explainer.init import initializer
from llm_explainer.numpy_backend import Linear, cross_entropy
from llm_explainer.numpy_backend.loss import head_cross_entropy
from llm_explainer.numpy_backend.module import Array, Backward


def test_loss_is_the_surprise_in_nats() -> None:
    probabilities = np.array([[0.5, 0.25, 0.25], [0.1, 0.1, 0.8]])
    shifts = np.array([[3], [-5]])  # a softmax does not see them
    loss, _ = cross_entropy(np.log(probabilities) + shifts, np.array([1, 2]))
    assert loss == pytest.approx((-math.log(0.25) - math.log(0.8)) / 2, rel=1e-12)


def test_equal_logits_are_a_blind_guess() -> None:
    loss, _ = cross_entropy(np.zeros((2, 3, 10), np.float32), np.zeros((2, 3), int))
    assert loss == pytest.approx(math.log(10))


@given(seed=st.integers(0, 2**32), vocab_size=st.integers(1, 6), masked=st.booleans())
def test_backward_is_the_derivative(seed: int, vocab_size: int, masked: bool) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(2, 3, vocab_size))
    targets = rng.integers(0, vocab_size, (2, 3))
    mask = rng.random((2, 3)) < 0.5 if masked else None
    before = logits.copy()
    _, backward = cross_entropy(logits, targets, mask)
    numeric = numeric_gradient(lambda: cross_entropy(logits, targets, mask)[0], logits)
    assert relative_error(backward(), numeric, floor=1e-3) < 1e-6
    np.testing.assert_array_equal(backward(3.0), 3 * backward())
    np.testing.assert_array_equal(logits, before)


def test_mask_leaves_the_mean_over_what_counts() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(4, 5)), rng.integers(0, 5, 4)
    loss, backward = cross_entropy(logits, targets, np.array([1, 0, 1, 0]))
    counted, _ = cross_entropy(logits[[0, 2]], targets[[0, 2]])
    assert loss == pytest.approx(counted, rel=1e-12)
    np.testing.assert_array_equal(backward()[[1, 3]], 0)


def test_an_empty_mask_is_no_loss() -> None:
    loss, backward = cross_entropy(np.ones((2, 3)), np.zeros(2, int), np.zeros(2, bool))
    assert loss == 0
    np.testing.assert_array_equal(backward(), 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_logits_do_not_overflow(dtype: type) -> None:
    logits = np.array([[1e30, 0.0, -1e30], [5e4, 5e4, -5e4]], dtype)
    loss, backward = cross_entropy(logits, np.array([0, 1]))
    assert loss == pytest.approx(math.log(2) / 2, rel=1e-6)
    np.testing.assert_allclose(backward(), [[0, 0, 0], [0.25, -0.25, 0]], atol=1e-6)


def test_rows_that_do_not_count_never_reach_the_head() -> None:
    n_rows: list[int] = []
    linear = Linear(4, 7, bias=False, init=initializer(0))

    class Counting:
        def write(self, x: Array, y: Array) -> None:
            n_rows.append(len(x))
            linear.write(x, y)

        def backward_of(self, x: Array) -> Backward:
            n_rows.append(len(x))
            return linear.backward_of(x)

    hidden = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    weights = np.array([0, 0.5, 0, 0, 0.5, 0], np.float32)
    targets = np.arange(6)
    out = {"weight": np.full((7, 4), np.nan, np.float32)}
    loss, dhidden = head_cross_entropy(Counting(), hidden, targets, weights, 7, out)
    assert n_rows == [2, 2]
    assert np.flatnonzero(np.abs(dhidden).sum(-1)).tolist() == [1, 4]
    logits = linear(hidden)
    expected, backward = cross_entropy(logits, targets, weights > 0)
    assert loss == pytest.approx(expected)
    np.testing.assert_allclose(out["weight"], backward().T @ hidden, rtol=1e-5, atol=1e-7)
