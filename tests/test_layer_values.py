"""What single layers compute, beside their definitions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from small_models import LLAMA, randomize, small_config

from llm_explainer import numpy_backend as nn
from llm_explainer.init import initializer
from llm_explainer.numpy_backend.module import Array

POSITIONS = np.array([0, 3, 5])
ROW_POSITIONS = np.array([[0, 1, 2], [3, 4, 5]])


def test_linear_multiplies_by_the_transposed_weight() -> None:
    layer = nn.Linear(2, 3, init=initializer(0)).astype(np.float64)
    layer.update({"weight": np.array([[1, 2], [3, 4], [5, 6]]), "bias": np.array([10, 20, 30])})
    np.testing.assert_array_equal(layer(np.array([1.0, -1.0])), [9, 19, 29])


def test_layer_norm_centres_and_scales() -> None:
    x = np.random.default_rng(0).normal(3, 5, size=(10, 64))
    y = nn.LayerNorm(64).astype(np.float64)(x)
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-12)


def test_rms_norm_scales_only() -> None:
    x = np.random.default_rng(0).normal(3, 5, size=(10, 64))
    y = nn.RMSNorm(64).astype(np.float64)(x)
    expected = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-12)


@pytest.mark.parametrize("make", [nn.LayerNorm, nn.RMSNorm])
def test_norms_of_a_constant_row_stay_finite(make: Callable[[int], nn.Module]) -> None:
    y, backward = make(4).forward(np.zeros((2, 4), np.float32))
    dx, _ = backward(np.ones((2, 4), np.float32))
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


def test_dropout_keeps_the_mean_and_drops_its_share() -> None:
    x = np.ones(200_000, np.float32)
    y, _ = nn.Dropout(0.2).forward(x, np.random.default_rng(0))
    assert set(np.unique(y)) == {0, np.float32(1 / 0.8)}
    assert (y == 0).mean() == pytest.approx(0.2, abs=0.005)


def test_dropout_follows_its_generator() -> None:
    x, layer = np.ones((50, 50)), nn.Dropout(0.5)
    draws = [layer.forward(x, np.random.default_rng(seed))[0] for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert (draws[0] != draws[2]).any()


def test_embedding_adds_up_what_a_repeated_id_gets() -> None:
    table = nn.Embedding(3, 2, init=initializer(0))
    _, backward = table.forward(np.array([[1, 1], [2, 1]]))
    _, grads = backward(np.array([[[1, 10], [2, 20]], [[4, 40], [8, 80]]], np.float32))
    np.testing.assert_array_equal(grads["weight"], [[0, 0], [11, 110], [4, 40]])


@pytest.mark.parametrize(
    ("make", "expected"),
    # At -3, -1, 0, 0.5 and 2, by PyTorch in float64 (GELU with approximate="tanh").
    [
        (nn.ReLU, [0, 0, 0, 0.5, 2]),
        (nn.SiLU, [-0.14227762, -0.26894142, 0, 0.31122967, 1.76159416]),
        (nn.GELU, [-0.00363739, -0.15880801, 0, 0.34571401, 1.95459769]),
    ],
)
def test_activations_by_value(make: Callable[[], nn.Module], expected: list[float]) -> None:
    np.testing.assert_allclose(make()(np.array([-3, -1, 0, 0.5, 2])), expected, atol=1e-8)


@pytest.mark.parametrize("make", [nn.ReLU, nn.GELU, nn.SiLU])
def test_activations_of_huge_numbers_stay_finite(make: Callable[[], nn.Module]) -> None:
    y, backward = make().forward(np.array([-1e4, 1e4], np.float32))
    np.testing.assert_allclose(y, [0, 1e4], atol=1e-6)
    np.testing.assert_allclose(backward(np.ones(2, np.float32))[0], [0, 1], atol=1e-6)


def test_attention_looks_at_itself_and_before_only() -> None:
    config = small_config(**LLAMA)
    layer = nn.CausalSelfAttention(config, init=initializer(0)).astype(np.float64)
    randomize(layer)
    x = np.random.default_rng(0).normal(size=(1, 6, 8))
    changed = x.copy()
    changed[0, 4] += 1
    y, y_changed = layer(x)[0], layer(changed)[0]
    np.testing.assert_array_equal(y[:4], y_changed[:4])
    assert (np.abs(y[4:] - y_changed[4:]).max(-1) > 1e-6).all()


def test_a_query_group_shares_its_key_value_head() -> None:
    """Grouped heads give what plain heads do whose keys and values are copies."""
    grouped = nn.CausalSelfAttention(small_config(n_kv_heads=2), init=initializer(0)).astype(
        np.float64
    )
    randomize(grouped)
    plain_heads = nn.CausalSelfAttention(small_config(), init=initializer(0)).astype(np.float64)
    plain_heads.update(grouped.parameters() | {"qkv_proj": spread_out(grouped)})
    x = np.random.default_rng(0).normal(size=(2, 5, 8))
    np.testing.assert_allclose(grouped(x), plain_heads(x), rtol=1e-10, atol=1e-12)


def spread_out(grouped: nn.CausalSelfAttention) -> dict[str, Array]:
    """Return qkv_proj's arrays with each of 2 key-value heads (2 wide) written out twice."""
    tree = {}
    for name, array in grouped.parameters()["qkv_proj"].items():
        q, k, v = np.split(array, [8, 12])
        copies = [np.repeat(part.reshape(2, 2, -1), 2, axis=0) for part in (k, v)]
        parts = [q.reshape(8, -1), *(part.reshape(8, -1) for part in copies)]
        tree[name] = np.concatenate(parts).reshape(24, *array.shape[1:])
    return tree


def test_attention_is_the_formula() -> None:
    """softmax(Q Kᵀ / sqrt(H) + mask) V, written out by loops, over more rows than one band."""
    config = small_config(context_length=150, n_kv_heads=2)
    layer = nn.CausalSelfAttention(config, init=initializer(0)).astype(np.float64)
    randomize(layer)
    x = np.random.default_rng(0).normal(size=(1, 150, 8))
    qkv = layer.qkv_proj(x)[0]  # (T, 16)
    q, k, v = qkv[:, :8].reshape(-1, 4, 2), qkv[:, 8:12].reshape(-1, 2, 2), qkv[:, 12:]
    v = v.reshape(-1, 2, 2)
    attended = np.empty((150, 4, 2))
    for head in range(4):
        for t in range(150):
            scores = k[: t + 1, head // 2] @ q[t, head] / np.sqrt(2)
            weights = np.exp(scores) / np.exp(scores).sum()
            attended[t, head] = weights @ v[: t + 1, head // 2]
    expected = layer.out_proj(attended.reshape(1, 150, 8))
    np.testing.assert_allclose(layer(x), expected, rtol=1e-10, atol=1e-12)


def test_attention_of_huge_scores_stays_finite() -> None:
    layer = nn.CausalSelfAttention(small_config(), init=initializer(0))
    x = np.random.default_rng(0).normal(scale=1e5, size=(1, 6, 8)).astype(np.float32)
    y, backward = layer.forward(x)
    dx, _ = backward(np.ones_like(y))
    assert np.isfinite(y).all()
    assert np.isfinite(dx).all()


def test_rotary_positions_are_shared_or_by_row() -> None:
    layer = nn.RotaryEmbedding(6, 8)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6))
    for positions in (POSITIONS, ROW_POSITIONS):
        np.testing.assert_array_equal(layer(x, positions), layer.forward(x, positions)[0])
    by_row = [layer(x[i : i + 1], ROW_POSITIONS[i])[0] for i in range(2)]
    np.testing.assert_array_equal(layer(x, ROW_POSITIONS), by_row)


def test_rotary_turns_pairs_of_the_two_halves() -> None:
    """Channel i and i + H/2 are x and y of a point that turns by t · theta^(-2i/H)."""
    t, theta, x = 3, 100.0, np.array([1.0, 2.0, 3.0, 4.0])
    y = nn.RotaryEmbedding(4, 8, theta)(x.reshape(1, 1, 1, 4), np.array([t])).reshape(4)
    points = (x[:2] + 1j * x[2:]) * np.exp(1j * t * theta ** (-np.array([0, 2]) / 4))
    np.testing.assert_allclose(y, [*points.real, *points.imag], rtol=1e-6)


def test_rotary_dot_products_depend_on_distance_only() -> None:
    layer, rng = nn.RotaryEmbedding(16, 512), np.random.default_rng(0)
    q, k = rng.normal(size=(2, 1, 1, 1, 16))

    def score(at: int, distance: int) -> float:
        turned_q = layer(q, np.array([at + distance]))
        return float(np.vdot(turned_q, layer(k, np.array([at]))))

    for distance in (0, 1, 17, 200):
        scores = [score(at, distance) for at in (0, 1, 50, 311)]
        np.testing.assert_allclose(scores, scores[0], atol=1e-5)
    assert abs(score(0, 0) - score(0, 1)) > 1e-3


def test_sinusoids_are_those_of_the_paper() -> None:
    table = nn.SinusoidalPositions(50, 6)(np.arange(50))  # (T, D)
    for t in (0, 1, 49):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert table[t, 2 * i] == pytest.approx(np.sin(angle), abs=1e-6)
            assert table[t, 2 * i + 1] == pytest.approx(np.cos(angle), abs=1e-6)
    assert len(np.unique(table.round(4), axis=0)) == 50  # every position looks different
