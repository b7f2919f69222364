"""Models of both backends with the same weights, for tests that hold the two together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import Array, random_model, small_config

from llm_explainer import numpy_backend

pytest.importorskip("mlx.core", exc_type=ImportError)

import mlx.core as mx

from llm_explainer import mlx_backend
from llm_explainer.parity import gradient_errors
from llm_explainer.tree import Tree, flatten

__all__ = ["assert_close", "assert_gradients_close", "copies", "mlx_backend", "mx", "twins"]

TOLERANCE = 1e-4


def twins(**changes: Any) -> tuple[numpy_backend.GPT, mlx_backend.GPT]:
    """Return a small model with random weights on NumPy (float32) and the same on MLX."""
    model = random_model(small_config(**changes), np.float32)
    twin = mlx_backend.GPT(model.config)
    twin.update(model.parameters())
    return model, twin


def assert_close(actual: Any, expected: Array) -> None:
    """Within 1e-4 absolute; shapes must be equal too."""
    assert np.shape(actual) == expected.shape
    np.testing.assert_allclose(np.asarray(actual), expected, rtol=0, atol=TOLERANCE)


def assert_gradients_close(actual: Tree, expected: Tree) -> None:
    """Every array within 1e-4 of its length, by the measure of ``run_demo.py diff``."""
    errors = gradient_errors(actual, expected)  # a wrong shape is infinitely wrong
    assert max(errors.values(), default=0.0) < TOLERANCE, errors


def copies(tree: Any) -> dict[str, Array]:
    return {name: np.array(array) for name, array in flatten(tree).items()}
