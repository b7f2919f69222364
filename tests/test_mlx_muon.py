"""Muon on MLX takes the NumPy backend's steps."""

from __future__ import annotations

import numpy as np
import pytest
from mlx_twins import mlx_backend, twins
from small_models import FAMILIES

from llm_explainer.numpy_backend import Muon
from llm_explainer.tree import flatten, unflatten


@pytest.mark.parametrize("family", FAMILIES)
def test_both_backends_take_the_same_steps(family: str) -> None:
    ours, theirs = twins(**FAMILIES[family])
    here = Muon(ours, momentum=0.9, weight_decay=0.3)
    there = mlx_backend.Muon(theirs, momentum=0.9, weight_decay=0.3)
    rng = np.random.default_rng(0)
    for _ in range(3):
        grads = {
            name: rng.standard_normal(array.shape, np.float32)
            for name, array in flatten(ours.parameters()).items()
        }
        here.update(unflatten(grads, like=ours.parameters()), 0.1)
        there.update(unflatten(grads, like=ours.parameters()), 0.1)
    for name, array in flatten(theirs.parameters()).items():
        expected = flatten(ours.parameters())[name]
        np.testing.assert_allclose(np.asarray(array), expected, atol=1e-4, err_msg=name)
    for name, array in there.state().items():
        np.testing.assert_allclose(array, here.state()[name], atol=1e-5, err_msg=name)
