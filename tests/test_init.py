"""Initial weights: their distribution, and that a seed fixes them."""

from __future__ import annotations

import numpy as np
import pytest

from llm_explainer.config import InitScheme
from llm_explainer.init import STD, initializer

SHAPE = (300, 400)


def test_normal_weights() -> None:
    weight = initializer(0)(SHAPE, 1.0)
    assert weight.dtype == np.float32
    assert weight.shape == SHAPE
    assert weight.mean() == pytest.approx(0, abs=STD / 100)
    assert weight.std() == pytest.approx(STD, rel=0.01)
    assert np.abs(weight).max() > 3 * STD  # tails are there
    share_within_one = (np.abs(weight) < STD).mean()
    assert share_within_one == pytest.approx(0.6827, abs=0.01)


def test_truncated_weights_end_at_two_deviations() -> None:
    weight = initializer(0, "truncated_normal")(SHAPE, 1.0)
    assert np.abs(weight).max() <= 2 * STD
    assert np.abs(weight).max() > 1.99 * STD
    # Redrawn, not clipped: nothing piles up at the ends. The std of such a normal is 0.8796.
    assert weight.std() == pytest.approx(0.8796 * STD, rel=0.01)
    assert (np.abs(weight) > 1.9 * STD).mean() == pytest.approx(0.0125, abs=0.003)


@pytest.mark.parametrize("scheme", ["normal", "truncated_normal"])
def test_scale_multiplies(scheme: InitScheme) -> None:
    plain, scaled = (initializer(3, scheme)(SHAPE, scale) for scale in (1.0, 0.25))
    np.testing.assert_allclose(scaled, plain / 4, rtol=1e-6)


@pytest.mark.parametrize("scheme", ["normal", "truncated_normal"])
def test_a_seed_fixes_every_draw(scheme: InitScheme) -> None:
    first, same, other = (initializer(seed, scheme) for seed in (5, 5, 6))
    for shape in ((4, 3), (10,), (2, 2)):
        weight = first(shape, 1.0)
        np.testing.assert_array_equal(weight, same(shape, 1.0))
        assert (weight != other(shape, 1.0)).any()
    assert (first((4, 3), 1.0) != first((4, 3), 1.0)).any()  # no two weights are alike


def test_zeros() -> None:
    weight = initializer(0, "zeros")((2, 3), 1.0)
    assert weight.dtype == np.float32
    np.testing.assert_array_equal(weight, np.zeros((2, 3)))
