"""Corners of the layers and of the model that random numbers seldom reach."""

from __future__ import annotations

import numpy as np
import pytest
from small_models import random_model, random_tokens, small_config

from llm_explainer import numpy_backend as nn
from llm_explainer import plain
from llm_explainer.init import initializer
from llm_explainer.numpy_backend.kernels import add_to_rows
from llm_explainer.numpy_backend.loss import head_cross_entropy, token_weights


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
    layer = nn.Linear(5, 4, init=initializer(0)).astype(np.float64)
    layer.bias = np.arange(4.0)
    for n_rows in (1, 3, 50):
        x = np.random.default_rng(0).normal(size=(n_rows, 5))
        y = np.full((n_rows, 4), np.nan)
        layer.write(x, y)
        np.testing.assert_allclose(y, x @ layer.weight.T + layer.bias, rtol=1e-12)


@pytest.mark.parametrize("level", [-1000.0, 0.0, 1000.0])
def test_the_fused_loss_of_huge_logits(level: float) -> None:
    """Where exp of all logits of a row is 0, or infinite, their softmax is what it is elsewhere."""
    head = nn.Linear(2, 5, init=initializer(0)).astype(np.float64)
    head.bias = level + np.arange(5.0)
    hidden, targets = np.random.default_rng(0).normal(size=(3, 2)), np.array([4, 0, 2])
    weights = token_weights(targets, None, hidden.dtype)
    out = {"weight": np.empty((5, 2)), "bias": np.empty(5)}
    loss, dhidden = head_cross_entropy(head, hidden, targets, weights, 5, out)
    logits, backward = plain.linear(hidden, head.parameters())
    expected, loss_backward = plain.cross_entropy(logits, targets)
    dx, grads = backward(loss_backward())
    assert loss == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(dhidden, dx, rtol=1e-9, atol=1e-12)
    for name, gradient in grads.items():
        np.testing.assert_allclose(out[name], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("mask", [None, np.array([1, 0, 1])])
def test_a_part_of_a_batch_weighs_its_tokens_by_the_whole(mask: np.ndarray | None) -> None:
    counted = np.ones(3) if mask is None else mask
    weights = token_weights(np.zeros(3, int), mask, np.dtype(np.float64), n_counted=8)
    np.testing.assert_array_equal(weights, counted / 8)


def test_the_likeliest_id_is_one_of_those_asked_for() -> None:
    """A model's table may be larger than its tokenizer's vocabulary."""
    model = random_model(small_config())
    tokens = random_tokens(model.config, 30, 4)
    logits = model.next_logits(tokens)  # (B, V)
    ids, scores = model.next_ids(tokens, vocab_size=4)
    assert (logits.argmax(-1) >= 4).any()
    np.testing.assert_array_equal(ids, logits[:, :4].argmax(-1))
    np.testing.assert_array_equal(scores, logits[:, :4].max(-1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.uint32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_ids_in_few_bits_reach_every_row(dtype: type, order: str) -> None:
    """Places in a table of 200 x 400 numbers take 17 bits."""
    ids = np.array([[199, 3], [3, 120]], dtype)
    dy = np.random.default_rng(0).normal(size=(2, 2, 400))
    found, expected = np.zeros((200, 400), order=order), np.zeros((200, 400))
    add_to_rows(found, ids, dy)
    np.add.at(expected, ids.astype(np.int64), dy)
    np.testing.assert_allclose(found, expected)
