"""One table drives every layer through one contract (module.py): its backward pass is the
derivative, and neither pass disturbs anything."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from small_models import LLAMA, nans, only, randomize, small_config

from llm_explainer import numpy_backend as nn
from llm_explainer.gradcheck import compare, numeric_gradient
from llm_explainer.init import initializer
from llm_explainer.lora_config import AdaptedRows
from llm_explainer.numpy_backend.module import Array, Backward
from llm_explainer.tree import flatten, unflatten

POSITIONS = np.array([0, 3, 5])
ROW_POSITIONS = np.array([[0, 1, 2], [3, 4, 5]])


def plain(layer: Any, x: Array) -> tuple[Array, Backward]:
    return layer.forward(x)


def with_dropout(layer: Any, x: Array) -> tuple[Array, Backward]:
    return layer.forward(x, np.random.default_rng(3))


def adapted(dropout: float) -> nn.LoRALinear:
    """Return a layer with two slices, and rows before, between and after them."""
    slices = [AdaptedRows("k", "", 1, 3, 4, 2, 0.5), AdaptedRows("v", "", 4, 5, 4, 1, 2.0)]
    base = nn.Linear(4, 6, init=initializer(0))
    return nn.LoRALinear(base, slices, dropout, rng=np.random.default_rng(0))


@dataclass(frozen=True)
class Case:
    make: Callable[[], nn.Module]
    width: int = 4  # of x's last axis
    forward: Callable[[Any, Array], tuple[Array, Backward]] = plain
    leading: tuple[tuple[int, ...], ...] = ((2, 3), (6,), (), (2, 1, 3))  # axes before the width
    n_ids: int = 0  # if not 0, x holds ids below it, without a width

    def input(self, dtype: type, leading: tuple[int, ...] | None = None) -> Array:
        """Return x; tokens of (2, 3) unless other axes are given."""
        rng = np.random.default_rng(1)
        shape = self.leading[0] if leading is None else leading
        if self.n_ids:
            return rng.integers(0, self.n_ids, shape)
        return rng.normal(size=(*shape, self.width)).astype(dtype)

    def layer(self, dtype: type = np.float64) -> nn.Module:
        layer = self.make().astype(dtype)
        randomize(layer)
        return layer


ATTENTION = {"width": 8, "leading": ((2, 3), (1, 1), (3, 6))}
HEADS = {"width": 6, "leading": ((2, 3, 2), (1, 3, 5))}

CASES: dict[str, Case] = {
    "Linear": Case(lambda: nn.Linear(4, 5, init=initializer(0))),
    "Linear without bias": Case(lambda: nn.Linear(4, 5, bias=False, init=initializer(0))),
    "LoRALinear": Case(lambda: adapted(0.0)),
    "LoRALinear with dropout": Case(lambda: adapted(0.4), forward=with_dropout),
    "Embedding": Case(lambda: nn.Embedding(4, 3, init=initializer(0)), n_ids=4),
    "LayerNorm": Case(lambda: nn.LayerNorm(4)),
    "LayerNorm without bias": Case(lambda: nn.LayerNorm(4, bias=False)),
    "LayerNorm with a large eps": Case(lambda: nn.LayerNorm(4, eps=0.5)),
    "RMSNorm": Case(lambda: nn.RMSNorm(4)),
    "RMSNorm with a large eps": Case(lambda: nn.RMSNorm(4, eps=0.5)),
    "Dropout": Case(lambda: nn.Dropout(0.4), forward=with_dropout),
    "Dropout turned off": Case(lambda: nn.Dropout(0.4)),
    "ReLU": Case(nn.ReLU),
    "GELU": Case(nn.GELU),
    "SiLU": Case(nn.SiLU),
    "RotaryEmbedding": Case(
        lambda: nn.RotaryEmbedding(6, 8),
        forward=lambda layer, x: layer.forward(x, POSITIONS),
        **HEADS,
    ),
    "RotaryEmbedding by row": Case(
        lambda: nn.RotaryEmbedding(6, 8),
        forward=lambda layer, x: layer.forward(x, ROW_POSITIONS[: len(x)]),
        **HEADS,
    ),
    "attention": Case(
        lambda: nn.CausalSelfAttention(small_config(), init=initializer(0)), **ATTENTION
    ),
    "attention, llama": Case(
        lambda: nn.CausalSelfAttention(small_config(**LLAMA), init=initializer(0)), **ATTENTION
    ),
    "attention, one kv head": Case(
        lambda: nn.CausalSelfAttention(small_config(n_kv_heads=1), init=initializer(0)), **ATTENTION
    ),
    "attention with dropout": Case(
        lambda: nn.CausalSelfAttention(
            small_config(dropout=0.3, n_kv_heads=2), init=initializer(0)
        ),
        forward=with_dropout,
        **ATTENTION,
    ),
    **{
        f"feed-forward, {activation}": Case(
            lambda a=activation: nn.FeedForward(small_config(activation=a), init=initializer(0)),
            width=8,
        )
        for activation in ("relu", "gelu", "silu", "swiglu")
    },
    "Block": Case(lambda: nn.Block(small_config(), init=initializer(0)), **ATTENTION),
    "Block, llama": Case(lambda: nn.Block(small_config(**LLAMA), init=initializer(0)), **ATTENTION),
    "Block with dropout": Case(
        lambda: nn.Block(small_config(dropout=0.3), init=initializer(0)),
        forward=with_dropout,
        **ATTENTION,
    ),
    "GPT": Case(lambda: nn.GPT(small_config()), n_ids=7, leading=((2, 3), (1, 6))),
}

every_layer = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def run(case: Case, layer: nn.Module, x: Array) -> tuple[Array, Array, dict[str, Array]]:
    """Return y, dx and the gradients of the parameters for a random dy."""
    y, backward = case.forward(layer, x)
    dx, grads = backward(np.random.default_rng(2).normal(size=y.shape).astype(y.dtype))
    return y, dx, flatten(grads)


@every_layer
def test_backward_is_the_derivative(case: Case) -> None:
    layer, x = case.layer(), case.input(np.float64)
    y, backward = case.forward(layer, x)
    other = x[::-1].copy()
    case.forward(layer, other)[1](np.ones_like(y))  # later calls must not disturb this closure
    dy = np.random.default_rng(2).normal(size=y.shape)  # all ones would hide errors in norms
    dx, grads = backward(dy)

    def loss() -> float:
        return float(np.vdot(case.forward(layer, x)[0], dy))

    exact, measured = flatten(grads), flatten(layer.parameters())
    if not case.n_ids:
        exact, measured = {"x": dx, **exact}, {"x": x, **measured}
    numeric = {name: numeric_gradient(loss, array) for name, array in measured.items()}
    checks = compare(exact, numeric)
    assert [check for check in checks if check.verdict == "wrong"] == []


@every_layer
def test_gradients_are_named_like_parameters(case: Case) -> None:
    layer = case.layer()
    _, _, grads = run(case, layer, case.input(np.float64))
    shapes = {name: array.shape for name, array in flatten(layer.parameters()).items()}
    assert {name: array.shape for name, array in grads.items()} == shapes


@every_layer
def test_neither_pass_writes_into_its_arguments(case: Case) -> None:
    layer, x = case.layer(), case.input(np.float64)
    y, backward = case.forward(layer, x)
    dy = np.random.default_rng(2).normal(size=y.shape)
    before = {name: array.copy() for name, array in flatten(layer.parameters()).items()}
    x_before, dy_before = x.copy(), dy.copy()
    x.flags.writeable = dy.flags.writeable = False
    case.forward(layer, x)
    backward(dy)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(dy, dy_before)
    for name, array in flatten(layer.parameters()).items():
        np.testing.assert_array_equal(array, before[name])


@every_layer
def test_backward_twice_gives_the_same(case: Case) -> None:
    layer, x = case.layer(), case.input(np.float64)
    y, backward = case.forward(layer, x)
    dy = np.random.default_rng(2).normal(size=y.shape)
    (dx, grads), (dx_again, grads_again) = backward(dy), backward(dy)
    np.testing.assert_array_equal(dx, dx_again)
    for name, grad in flatten(grads).items():
        np.testing.assert_array_equal(grad, flatten(grads_again)[name])


@every_layer
@pytest.mark.parametrize("order", ["by rows", "by columns", "with gaps"])
def test_out_receives_the_gradients_in_any_memory_order(case: Case, order: str) -> None:
    layer, x = case.layer(), case.input(np.float64)
    y, backward = case.forward(layer, x)
    dy = np.random.default_rng(2).normal(size=y.shape)
    expected = flatten(backward(dy)[1])
    out = unflatten({name: nans(a.shape, order) for name, a in expected.items()}, layer.trainable())
    _, grads = backward(dy, out=out)
    assert grads is out
    for name, grad in flatten(out).items():
        np.testing.assert_allclose(grad, expected[name], rtol=1e-12, atol=1e-14)


@every_layer
def test_only_the_gradients_that_out_has_a_place_for_are_computed(case: Case) -> None:
    layer, x = case.layer(), case.input(np.float64)
    y, backward = case.forward(layer, x)
    dy = np.random.default_rng(2).normal(size=y.shape)
    dx, grads = backward(dy)
    expected = flatten(grads)
    for wanted in [(), *((name,) for name in expected)]:
        out = only(wanted, grads)
        found_dx, found = backward(dy, out=out)
        np.testing.assert_array_equal(found_dx, dx)
        assert flatten(found).keys() == set(wanted)
        for name in wanted:
            np.testing.assert_array_equal(flatten(found)[name], expected[name])


@every_layer
def test_what_is_frozen_has_no_gradient(case: Case) -> None:
    layer, x = case.layer(), case.input(np.float64)
    assert flatten(layer.freeze().trainable()) == {}
    y, backward = case.forward(layer, x)
    dy = np.random.default_rng(2).normal(size=y.shape)
    frozen_dx, grads = backward(dy)
    assert flatten(grads) == {}
    layer.unfreeze()
    dx, grads = case.forward(layer, x)[1](dy)
    np.testing.assert_array_equal(frozen_dx, dx)
    assert flatten(grads).keys() == flatten(layer.parameters()).keys()


@every_layer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_stays(case: Case, dtype: type) -> None:
    y, dx, grads = run(case, case.layer(dtype), case.input(dtype))
    assert {array.dtype for array in (y, dx, *grads.values())} == {np.dtype(dtype)}


@every_layer
def test_float32_agrees_with_float64(case: Case) -> None:
    x = case.input(np.float64).astype(int if case.n_ids else np.float32)
    wide = x if case.n_ids else x.astype(np.float64)
    y32, dx32, grads32 = run(case, case.layer(np.float32), x)
    y64, dx64, grads64 = run(case, case.layer(np.float64), wide)
    np.testing.assert_allclose(y32, y64, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx32, dx64, rtol=1e-4, atol=1e-4)
    for name, grad in grads32.items():
        np.testing.assert_allclose(grad, grads64[name], rtol=1e-4, atol=1e-4)


@every_layer
def test_leading_axes_are_rows_of_the_same_function(case: Case) -> None:
    """Any number of axes may stand before the width, none and axes of one included."""
    layer = case.layer()
    for leading in case.leading:
        x = case.input(np.float64, leading)
        y, dx, _ = run(case, layer, x)
        assert y.shape[: len(leading)] == leading
        if not case.n_ids:
            assert dx.shape == x.shape


@pytest.mark.parametrize(
    "case",
    [case for name, case in CASES.items() if "Rotary" not in name],  # it takes positions too
    ids=[name for name in CASES if "Rotary" not in name],
)
def test_inference_computes_what_forward_does(case: Case) -> None:
    layer, x = case.layer(), case.input(np.float64)
    np.testing.assert_allclose(layer(x), layer.forward(x)[0], rtol=1e-12, atol=1e-12)


@every_layer
def test_threads_do_not_disturb_each_other(case: Case) -> None:
    layer = case.layer()
    inputs = [np.roll(case.input(np.float64), shift) for shift in range(8)]
    expected = [run(case, layer, x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda x: run(case, layer, x), inputs * 4))
    for i, (y, dx, grads) in enumerate(results):
        y_alone, dx_alone, grads_alone = expected[i % len(inputs)]
        np.testing.assert_array_equal(y, y_alone)
        np.testing.assert_array_equal(dx, dx_alone)
        for name, grad in grads.items():
            np.testing.assert_array_equal(grad, grads_alone[name])


def test_every_layer_of_the_backend_is_in_the_table() -> None:
    layers = {
        export
        for export in vars(nn).values()
        if isinstance(export, type) and issubclass(export, nn.Module) and "forward" in dir(export)
    }
    fixed = {nn.SinusoidalPositions}  # a table in which nothing learns
    assert layers - {nn.Module} - fixed == {type(case.make()) for case in CASES.values()}
