"""Work cut into pieces that fit the processor's cache: the pieces change nothing."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_explainer.numpy_backend import GELU, ReLU, SiLU, causal, kernels
from llm_explainer.numpy_backend.activations import Activation
from llm_explainer.numpy_backend.attention import attend
from llm_explainer.numpy_backend.module import Array


@given(shape=st.lists(st.integers(0, 7), min_size=1, max_size=3), block=st.integers(1, 50))
def test_blocks_cover_every_row_once(shape: list[int], block: int) -> None:
    array = np.zeros(shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernels, "BLOCK", block)
        blocks = list(kernels.row_blocks(array))
    for rows in blocks:
        array[rows] += 1
        assert array[rows].size <= block or len(array[rows]) == 1
    assert (array == 1).all()


@pytest.mark.parametrize("make", [ReLU, GELU, SiLU])
@pytest.mark.parametrize("in_place", [False, True])
def test_activations_in_blocks(
    make: type[Activation], in_place: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(0).normal(size=(7, 3)) * 3
    value, slope = make().value_and_slope(x)
    monkeypatch.setattr(kernels, "BLOCK", 6)
    given_x = x.copy()
    blocked_value, blocked_slope = make().value_and_slope(
        given_x, slope=given_x if in_place else None
    )
    np.testing.assert_array_equal(blocked_value, value)
    np.testing.assert_array_equal(blocked_slope, slope)
    np.testing.assert_array_equal(make()(x), value)
    assert in_place or (given_x == x).all()


def plain_attention(q: Array, k: Array, v: Array) -> Array:
    """Spell attention out: (B, K, G, T, H) and (B, K, 1, T, H) to (B, T, K·G·H)."""
    n_tokens, width = q.shape[-2:]
    scores = q @ k.swapaxes(-1, -2) / np.sqrt(width)  # (B, K, G, T, T)
    scores[..., np.triu(np.ones((n_tokens, n_tokens), bool), 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    heads = weights / weights.sum(-1, keepdims=True) @ v
    return heads.transpose(0, 3, 1, 2, 4).reshape(len(q), n_tokens, -1)


@pytest.mark.parametrize("n_tokens", [1, 63, 64, 65, 150])
@pytest.mark.parametrize(("n_kv", "group"), [(1, 1), (2, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("size", [1.0, 30.0])  # with the larger one, exp alone would overflow
def test_attention_is_the_plain_one_and_keeps_what_it_was_given(
    n_tokens: int, n_kv: int, group: int, size: float
) -> None:
    rng = np.random.default_rng(0)
    q = rng.normal(size=(2, n_kv, group, n_tokens, 4)) * size
    k, v = rng.normal(size=(2, 2, n_kv, 1, n_tokens, 4)) * size
    dattended = rng.normal(size=(2, n_tokens, n_kv * group * 4))
    before = [array.copy() for array in (q, k, v, dattended)]
    attended, backward = causal.causal_attention(q, k, v)
    np.testing.assert_allclose(attended, plain_attention(q, k, v), rtol=1e-9, atol=1e-9)

    first = [np.empty_like(array) for array in (q, k, v)]
    again = [np.empty_like(array) for array in (q, k, v)]
    backward(dattended, *first)
    backward(dattended, *again)
    for gradient, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(gradient, same)
    for array, copy in zip((q, k, v, dattended), before, strict=True):
        np.testing.assert_array_equal(array, copy)

    step = 1e-6 / size
    for array, gradient in zip((q, k, v), first, strict=True):
        direction = rng.normal(size=array.shape)
        losses = []
        for sign in (1, -1):
            moved = [a + sign * step * direction if a is array else a for a in (q, k, v)]
            losses.append(float(np.vdot(plain_attention(*moved), dattended)))
        slope = (losses[0] - losses[1]) / (2 * step)
        assert np.vdot(gradient, direction) == pytest.approx(slope, rel=1e-4, abs=1e-5 * size)


def test_attention_keeps_no_view_of_what_it_was_given() -> None:
    """Queries, keys and values lie in one array, three times as large as what is needed of it."""
    qkv = np.random.default_rng(0).normal(size=(2, 8, 3, 4, 4))  # (B, T, 3, K, H)
    given = weakref.ref(qkv)
    attended, backward = causal.causal_attention(*heads_in_front(qkv))
    del qkv
    assert given() is None
    dqkv = np.full((2, 8, 3, 4, 4), np.nan)
    backward(np.ones_like(attended), *heads_in_front(dqkv))
    assert np.isfinite(dqkv).all()


def heads_in_front(qkv: Array) -> Array:
    """View (B, T, 3, K, H) as q, k and v, (3, B, K, 1, T, H)."""
    return qkv.transpose(2, 0, 3, 1, 4)[:, :, :, None]


def test_large_scores_over_a_cache_do_not_overflow() -> None:
    """Of one token's scores 800 and 700, exp knows neither; the softmax of both is 1 and 0."""
    q = np.full((1, 1, 1, 1, 4), 20.0, np.float32)
    k = np.array([20.0, 17.5, -20.0], np.float32)[None, None, :, None] * np.ones(4, np.float32)
    v = np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4)
    np.testing.assert_allclose(attend(q, k, v, None)[0, 0], v[0, 0, 0], atol=1e-6)
