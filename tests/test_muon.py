"""Muon: by its formula, spelled out with a singular value decomposition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_models import FAMILIES, Array, random_model, random_tokens, small_config

from llm_explainer.batch import Batch
from llm_explainer.numpy_backend import GPT, AdamW, Muon, TrainStep
from llm_explainer.numpy_backend.muon import COEFFICIENTS, ITERATIONS, orthogonal
from llm_explainer.tree import flatten, unflatten

LR = 0.01


def random_grads(model: GPT, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    flat = {name: rng.normal(size=a.shape) for name, a in flatten(model.parameters()).items()}
    return unflatten(flat, like=model.parameters())


def expected_orthogonal(matrix: Array) -> Array:
    """Apply the polynomial to the singular values themselves."""
    u, s, v = np.linalg.svd(matrix, full_matrices=False)
    a, b, c = COEFFICIENTS
    s = s / np.sqrt((s * s).sum())
    for _ in range(ITERATIONS):
        s = a * s + b * s**3 + c * s**5
    return (u * s) @ v


@given(rows=st.integers(1, 9), columns=st.integers(1, 9), seed=st.integers(0, 999))
def test_orthogonal_changes_the_singular_values_alone(rows: int, columns: int, seed: int) -> None:
    matrix = np.random.default_rng(seed).normal(size=(rows, columns))
    before = matrix.copy()
    np.testing.assert_allclose(orthogonal(matrix), expected_orthogonal(matrix), atol=1e-9)
    np.testing.assert_array_equal(matrix, before)


def test_orthogonal_brings_singular_values_close_to_1() -> None:
    rng = np.random.default_rng(0)
    u, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    v, _ = np.linalg.qr(rng.normal(size=(12, 12)))
    matrix = (u * np.geomspace(1, 0.02, 12)) @ v  # the smallest is 1/60 of the norm
    values = np.linalg.svd(orthogonal(matrix), compute_uv=False)
    assert values.min() > 0.6
    assert values.max() < 1.25


def test_orthogonal_of_zero_is_zero() -> None:
    np.testing.assert_array_equal(orthogonal(np.zeros((3, 2), np.float32)), 0)


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_follow_the_formula_and_all_else_adamw(family: str) -> None:
    config = small_config(**FAMILIES[family])
    model, twin = (random_model(config).astype(np.float64) for _ in range(2))
    settings: dict[str, Any] = {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.3}
    muon, adamw = Muon(model, momentum=0.7, **settings), AdamW(twin, **settings)
    p = {name: array.copy() for name, array in flatten(model.parameters()).items()}
    m = {name: np.zeros_like(array) for name, array in p.items()}
    for seed in range(3):
        grads = random_grads(model, seed)
        muon.update(grads, LR)
        adamw.update(grads, LR)
        for name, g in flatten(grads).items():
            m[name] = 0.7 * m[name] + 0.3 * g
            if g.ndim == 2:
                move = expected_orthogonal(0.7 * m[name] + 0.3 * g)
                p[name] -= LR * 0.3 * p[name] + LR * 0.2 * np.sqrt(max(g.shape)) * move
    expected = flatten(twin.parameters())
    n_hidden = 0
    for name, array in flatten(model.parameters()).items():
        if name.startswith("blocks.") and array.ndim == 2:
            n_hidden += 1
            np.testing.assert_allclose(array, p[name], rtol=1e-9, atol=1e-11, err_msg=name)
            np.testing.assert_allclose(muon.state()[f"m.{name}"], m[name], rtol=1e-9)
            assert not muon.state()[f"v.{name}"].any()
        else:
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert n_hidden == config.n_layers * (5 if family == "llama" else 4)


def test_parts_of_the_buffer_do_not_matter() -> None:
    """However the work is cut, every number is updated once."""
    results = []
    for cuts in ([0], [0, 5, 300], [0, 1000, 1001], [0, "matrix", 400]):
        model = random_model(small_config(**FAMILIES["llama"]))
        muon = Muon(model)
        first_matrix = muon.flat.spans()["blocks.0.attention.qkv_proj.weight"][0].start
        cuts = [first_matrix if cut == "matrix" else cut for cut in cuts]
        grads = np.random.default_rng(0).normal(size=muon.flat.size).astype(np.float32)
        muon.steps += 1
        for start, stop in zip(cuts, [*cuts[1:], muon.flat.size], strict=True):
            muon.update_slice(grads, LR, 0.5, slice(start, stop))
        results.append(muon.flat.values.copy())
    for result in results[1:]:
        np.testing.assert_array_equal(result, results[0])


def test_a_clipped_gradient_is_a_shorter_one() -> None:
    results = []
    for size, scale in ((1.0, 0.25), (0.25, 1.0)):
        model = random_model(small_config())
        muon = Muon(model)
        rng = np.random.default_rng(0)
        for clipped in (False, True):  # only beside an older momentum does the length matter
            grads = rng.normal(size=muon.flat.size)
            muon.steps += 1
            everything = slice(0, muon.flat.size)
            if clipped:
                muon.update_slice(size * grads, LR, scale, everything)
            else:
                muon.update_slice(grads, LR, 1.0, everything)
        results.append(muon.flat.values.copy())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("workers", [1, 2])
def test_it_trains(workers: int) -> None:
    config = small_config(**FAMILIES["llama"])
    model = GPT(config)
    tokens, targets = random_tokens(config, 4, 6), random_tokens(config, 4, 6, seed=1)
    step = TrainStep(model, Muon(model, weight_decay=0.0), workers=workers)
    losses = [step([Batch(tokens, targets)], 0.05).loss for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
