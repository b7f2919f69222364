"""Every layer computes, forward and backward, what its NumPy twin does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import test_layers
from mlx_twins import assert_close, assert_gradients_close, mlx_backend, mx
from small_models import LLAMA, small_config
from test_layers import CASES, Case

from llm_explainer.gradcheck import relative_error
from llm_explainer.init import initializer
from llm_explainer.tree import flatten

# Dropout draws other numbers than NumPy's; it has tests of its own below.
SAME = {name: case for name, case in CASES.items() if case.forward is not test_layers.with_dropout}


def make_twin(case: Case, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the MLX layer of the case, made by the same line of code."""
    if isinstance(case.make, type):
        return getattr(mlx_backend, case.make.__name__)()
    with monkeypatch.context() as patch:
        patch.setattr(test_layers, "nn", mlx_backend)
        return case.make()


@pytest.mark.parametrize("case", SAME.values(), ids=SAME)
def test_forward_and_backward_agree(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    layer, twin = case.layer(np.float64), make_twin(case, monkeypatch)
    twin.update(layer.parameters())
    for leading in case.leading:
        x = case.input(np.float64, leading)
        y, backward = case.forward(layer, x)
        twin_y, twin_backward = case.forward(twin, mx.array(x) if case.n_ids else _single(x))
        assert_close(twin_y, y)
        dy = np.random.default_rng(2).normal(size=y.shape)
        case.forward(twin, twin_backward(mx.ones(y.shape))[0] if not case.n_ids else mx.array(x))
        (dx, grads), (twin_dx, twin_grads) = backward(dy), twin_backward(_single(dy))
        assert twin_dx.shape == dx.shape
        assert relative_error(np.asarray(twin_dx), dx, floor=1e-3) < 1e-4
        assert_gradients_close(twin_grads, grads)


@pytest.mark.parametrize(
    "case",
    [case for name, case in SAME.items() if "Rotary" not in name],  # it takes positions too
    ids=[name for name in SAME if "Rotary" not in name],
)
def test_inference_computes_what_forward_does(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    twin = make_twin(case, monkeypatch)
    twin.update(case.layer().parameters())
    x = mx.array(case.input(np.float32))
    assert_close(twin(x), np.asarray(twin.forward(x)[0]))


def test_out_receives_the_gradients() -> None:
    twin = mlx_backend.Linear(4, 5, init=initializer(0))
    _, backward = twin.forward(mx.ones((2, 4)))
    out = {"weight": mx.full((5, 4), mx.nan), "bias": mx.full((5,), mx.nan)}
    _, grads = backward(mx.ones((2, 5)), out=out)
    assert grads is out
    assert_gradients_close(out, {"weight": np.full((5, 4), 2.0), "bias": np.full(5, 2.0)})


def test_a_closure_leaves_the_parameters_alone() -> None:
    twin = mlx_backend.Linear(4, 5, init=initializer(0))
    weight = twin.weight
    _, backward = twin.forward(mx.ones((2, 4)))
    backward(mx.ones((2, 5)))
    assert twin.weight is weight
    with pytest.raises(ValueError, match="shape"):
        backward(mx.ones((2, 6)))
    assert twin.weight is weight


# Dropout


def test_dropout_drops_its_share_and_keeps_the_mean() -> None:
    dropout, x = mlx_backend.Dropout(0.3), mx.ones((200, 500))
    y = np.asarray(dropout.forward(x, mx.random.key(1))[0])
    assert (y == 0).mean() == pytest.approx(0.3, abs=0.01)
    assert set(np.unique(y)) == {0, np.float32(1 / 0.7)}
    assert y.mean() == pytest.approx(1, abs=0.01)


def test_dropout_follows_its_key() -> None:
    dropout, x = mlx_backend.Dropout(0.5), mx.ones((8, 8))
    (first, backward), (same, _), (other, _) = (
        dropout.forward(x, mx.random.key(seed)) for seed in (1, 1, 2)
    )
    assert_close(same, np.asarray(first))
    assert (np.asarray(first) != np.asarray(other)).any()
    dx, _ = backward(mx.ones((8, 8)))
    assert_close(dx, np.asarray(first))  # what was dropped has no gradient
    assert dropout(x) is dropout.forward(x)[0] is x


@pytest.mark.parametrize("family", [{}, LLAMA], ids=["gpt2", "llama"])
def test_attention_with_dropout_is_attention(family: dict[str, Any]) -> None:
    """Spelled out for dropout, it computes what the fused one does where next to nothing drops."""
    config = small_config(dropout=1e-9, **family)
    attention = mlx_backend.CausalSelfAttention(config, init=initializer(0))
    attention.update({name: _noise(tree) for name, tree in attention.parameters().items()})
    x, dy = (mx.array(np.random.default_rng(s).normal(size=(2, 5, 8)), mx.float32) for s in (1, 2))
    (y, backward), (dropped_y, dropped_backward) = (
        attention.forward(x, key) for key in (None, mx.random.key(0))
    )
    assert_close(dropped_y, np.asarray(y))
    (dx, grads), (dropped_dx, dropped_grads) = backward(dy), dropped_backward(dy)
    assert_close(dropped_dx, np.asarray(dx))
    for name, grad in flatten(grads).items():
        assert_close(flatten(dropped_grads)[name], np.asarray(grad))


def test_attention_drops_weights() -> None:
    config = small_config(dropout=0.5)
    attention = mlx_backend.CausalSelfAttention(config, init=initializer(0))
    x = mx.array(np.random.default_rng(1).normal(size=(1, 6, 8)), mx.float32)
    draws = [attention.forward(x, mx.random.key(seed))[0] for seed in range(2000)]
    mean = np.mean([np.asarray(draw) for draw in draws], axis=0)
    spread = np.abs(np.asarray(attention(x))).max()
    np.testing.assert_allclose(mean, np.asarray(attention(x)), atol=0.1 * spread)
    assert np.abs(np.asarray(draws[0]) - np.asarray(attention(x))).max() > 0.1 * spread


def test_a_block_drops_the_same_forward_and_backward() -> None:
    block = mlx_backend.Block(small_config(dropout=0.5), init=initializer(0))
    x = mx.array(np.random.default_rng(1).normal(size=(2, 6, 8)), mx.float32)
    y, backward = block.forward(x, mx.random.key(3))
    assert (np.asarray(y) != np.asarray(block(x))).any()
    assert_close(block.forward(x, mx.random.key(3))[0], np.asarray(y))
    first, second = backward(mx.ones(y.shape)), backward(mx.ones(y.shape))
    assert_close(first[0], np.asarray(second[0]))  # the replay draws the same masks


def test_every_place_that_drops_has_a_key_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The embeddings; in each block the attention weights and both branches."""
    drop, keys = mlx_backend.Dropout.drop, []

    def spy(self: Any, x: mx.array, rng: mx.array) -> mx.array:
        keys.append(tuple(np.asarray(rng)))
        return drop(self, x, rng)

    model = mlx_backend.GPT(small_config(dropout=0.5, n_layers=2))
    tokens = np.zeros((1, 3), int)
    monkeypatch.setattr(mlx_backend.Dropout, "drop", spy)
    model.loss_and_grads(tokens, tokens, rng=mx.random.key(0))
    assert len(keys) == len(set(keys)) == 1 + 2 * 3


def _single(x: Any) -> mx.array:
    return mx.array(x, mx.float32)


def _noise(tree: dict[str, mx.array]) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {name: rng.normal(scale=0.5, size=array.shape) for name, array in tree.items()}
