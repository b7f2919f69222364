"""Every function of the plain model: its gradients beside central differences, its values."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from small_models import FAMILIES, Array, random_model, random_tokens, small_config

from llm_explainer import plain
from llm_explainer.errors import ConfigError
from llm_explainer.gradcheck import numeric_gradient
from llm_explainer.plain.contract import as_numpy
from llm_explainer.tree import Tree, flatten

Forward = Callable[[], tuple[Any, Callable[[Any], Any]]]
Case = tuple[dict[str, Array], Forward]
"""Arrays by name, and what runs the function on them; its backward pass maps dy to a gradient for
each array, in their order."""


def layer(f: Callable[..., Any], x: Array, p: Tree, *settings: Any) -> Case:
    def forward() -> Any:
        y, backward = f(x, p, *settings)

        def gradients(dy: Array) -> list[Array]:
            dx, grads = backward(dy)
            assert list(flatten(grads)) == list(flatten(p))
            return [dx, *flatten(grads).values()]

        return y, gradients

    return {"x": x, **flatten(p)}, forward


def table(f: Callable[..., Any], ids: Array, p: Tree, *settings: Any) -> Case:
    def forward() -> Any:
        y, backward = f(ids, p, *settings)
        assert list(flatten(backward(y))) == list(flatten(p))
        return y, lambda dy: list(flatten(backward(dy)).values())

    return flatten(p), forward


def function(f: Callable[..., Any], *arrays: Array, settings: tuple[Any, ...] = ()) -> Case:
    def forward() -> Any:
        y, backward = f(*arrays, *settings)

        def gradients(dy: Array) -> list[Array]:
            found = backward(dy)
            return list(found) if isinstance(found, tuple) else [found]

        return y, gradients

    return {str(i): array for i, array in enumerate(arrays)}, forward


def cases() -> dict[str, Callable[[], Case]]:
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> Array:
        return rng.normal(size=shape)

    def weights(**shapes: tuple[int, ...]) -> Tree:
        return {name: normal(*shape) for name, shape in shapes.items()}

    def config_of(**changes: Any) -> Any:
        return small_config(n_layers=2, **changes)

    def whole(name: str, **changes: Any) -> Tree:
        """Return random parameters of a model, or of a layer in its first block."""
        tree = random_model(config_of(**changes)).parameters()
        for key in name.split(".") if name else ():
            tree = tree[int(key)] if key.isdigit() else tree[key]
        return tree

    def tables() -> Tree:
        return {name: whole(name) for name in ("token_embedding", "position_embedding")}

    llama, x = FAMILIES["llama"], (2, 5, 8)  # (B, T, D)
    segments = np.array([[0, 0, 1, 1, 1], [3, 0, 0, 0, 2]])  # (B, T)
    gpt2_cases = {
        "linear": lambda: layer(plain.linear, normal(2, 3, 4), weights(weight=(5, 4), bias=(5,))),
        "linear, no bias": lambda: layer(plain.linear, normal(2, 3, 4), weights(weight=(5, 4))),
        "embedding": lambda: table(
            plain.embedding, np.array([[4, 0, 4], [1, 4, 0]]), weights(weight=(6, 3))
        ),
        "layer_norm": lambda: layer(
            plain.layer_norm, normal(2, 3, 5), weights(weight=(5,), bias=(5,)), 0.1
        ),
        "layer_norm, no bias": lambda: layer(
            plain.layer_norm, normal(2, 3, 5), weights(weight=(5,)), 0.1
        ),
        "rms_norm": lambda: layer(plain.rms_norm, normal(2, 3, 5), weights(weight=(5,)), 0.1),
        "softmax": lambda: function(plain.softmax, normal(2, 3, 5)),
        "relu": lambda: function(plain.relu, normal(2, 9)),
        "gelu": lambda: function(plain.gelu, normal(2, 9)),
        "silu": lambda: function(plain.silu, normal(2, 9)),
        "swiglu": lambda: function(plain.swiglu, normal(2, 9), normal(2, 9)),
        "rotate": lambda: function(
            plain.rotate, normal(2, 3, 5, 6), settings=(np.arange(5), 100.0)
        ),
        "causal_attention": lambda: function(
            plain.causal_attention, normal(2, 6, 5, 3), normal(2, 2, 5, 3), normal(2, 2, 5, 3)
        ),
        "causal_attention, segments": lambda: function(
            plain.causal_attention, *(normal(2, 2, 5, 3) for _ in range(3)), settings=(segments,)
        ),
        "norm": lambda: layer(plain.norm, normal(*x), whole("final_norm"), config_of()),
        "norm, llama": lambda: layer(
            plain.norm, normal(*x), whole("final_norm", **llama), config_of(**llama)
        ),
        "embed": lambda: table(
            plain.embed, np.array([[4, 0, 4], [1, 4, 0]]), tables(), config_of()
        ),
        "embed, segments": lambda: table(
            plain.embed,
            *(np.array([[4, 0, 4, 1, 1], [1, 4, 0, 2, 2]]), tables(), config_of(), segments),
        ),
        "gpt": lambda: table(plain.gpt, np.array([[4, 0, 4], [1, 4, 0]]), whole(""), config_of()),
        "gpt, llama": lambda: table(
            plain.gpt,
            np.array([[4, 0, 4], [1, 4, 0]]),
            whole("", **llama, tie_embeddings=False),
            config_of(**llama, tie_embeddings=False),
        ),
    }
    for family, changes in FAMILIES.items():
        for name, f in (
            ("attention", plain.self_attention),
            ("feed_forward", plain.feed_forward),
            ("", plain.block),
        ):

            def make(f: Any = f, name: str = name, changes: Any = changes) -> Case:
                p = whole(f"blocks.0.{name}".strip("."), **changes)
                return layer(f, normal(*x), p, config_of(**changes))

            gpt2_cases[f"{f.__name__}, {family}"] = make
        post = {**changes, "norm_position": "post"}
        gpt2_cases[f"block, {family}, post"] = partial(make, changes=post)
    return gpt2_cases


@pytest.mark.parametrize("make", cases().values(), ids=cases())
def test_backward_is_the_derivative(make: Callable[[], Case]) -> None:
    """Of every array that goes in, from a random dy: a constant one hides errors of norms."""
    arrays, forward = make()
    before = {name: array.copy() for name, array in arrays.items()}
    y, backward = forward()
    dy = np.random.default_rng(1).normal(size=y.shape)
    gradients = dict(zip(arrays, backward(dy), strict=True))
    for name, again in zip(arrays, backward(dy), strict=True):
        np.testing.assert_array_equal(again, gradients[name])  # a backward pass can be run twice
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, before[name])  # and changes nothing that went in
        numeric = numeric_gradient(lambda: float(np.vdot(forward()[0], dy)), array)
        assert gradients[name].shape == array.shape
        np.testing.assert_allclose(gradients[name], numeric, rtol=1e-6, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_and_its_derivative(masked: bool) -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(scale=2, size=(2, 3, 5)), rng.integers(0, 5, (2, 3))
    mask = np.array([[1, 0, 1], [0, 1, 1]]) if masked else None
    loss, backward = plain.cross_entropy(logits, targets, mask)
    exps = np.exp(logits)
    counted = [
        -math.log(exps[row, t, targets[row, t]] / exps[row, t].sum())
        for row, t in np.ndindex(2, 3)
        if mask is None or mask[row, t]
    ]
    assert loss == pytest.approx(sum(counted) / len(counted), rel=1e-12)
    numeric = numeric_gradient(lambda: plain.cross_entropy(logits, targets, mask)[0], logits)
    np.testing.assert_allclose(backward(), numeric, atol=1e-8)


def test_an_empty_mask_is_no_loss() -> None:
    loss, backward = plain.cross_entropy(np.ones((2, 3)), np.zeros(2, int), np.zeros(2, bool))
    assert loss == 0
    np.testing.assert_array_equal(backward(), 0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_huge_numbers_do_not_overflow(dtype: type) -> None:
    """Warnings are errors here, so this sees an overflow that happens to come out right, too."""
    logits = np.array([[1e30, 0.0, -1e30], [5e4, 5e4, -5e4]], dtype)
    loss, backward = plain.cross_entropy(logits, np.array([0, 1]))
    assert loss == pytest.approx(math.log(2) / 2, rel=1e-6)
    np.testing.assert_allclose(backward(), [[0, 0, 0], [0.25, -0.25, 0]], atol=1e-6)
    weights, _ = plain.softmax(np.array([[1e4, -np.inf, 1e4]], dtype))
    np.testing.assert_array_equal(weights, [[0.5, 0, 0.5]])
    for f in (plain.relu, plain.gelu, plain.silu):
        y, f_backward = f(np.array([-1e4, 1e4], dtype))
        np.testing.assert_allclose(y, [0, 1e4], atol=1e-6)
        np.testing.assert_allclose(f_backward(np.ones(2, dtype)), [0, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("f", "expected"),
    # At -3, -1, 0, 0.5 and 2, by PyTorch in float64 (GELU with approximate="tanh").
    [
        (plain.relu, [0, 0, 0, 0.5, 2]),
        (plain.silu, [-0.14227762, -0.26894142, 0, 0.31122967, 1.76159416]),
        (plain.gelu, [-0.00363739, -0.15880801, 0, 0.34571401, 1.95459769]),
    ],
)
def test_activations_by_value(f: Any, expected: list[float]) -> None:
    np.testing.assert_allclose(f(np.array([-3, -1, 0, 0.5, 2]))[0], expected, atol=1e-8)


def test_relu_has_slope_0_at_0() -> None:
    np.testing.assert_array_equal(plain.relu(np.zeros(2))[1](np.ones(2)), [0, 0])


def test_norms_divide_by_the_root_of_the_variance_and_eps() -> None:
    """With rows of mean 0 and variance 3, and eps 1, the divisor is 2."""
    x, p = math.sqrt(3) * np.array([[1.0, -1, 1, -1]]), {"weight": np.ones(4)}
    for f in (plain.layer_norm, plain.rms_norm):
        np.testing.assert_allclose(f(x, p, 1)[0], x / 2, rtol=1e-12)


def test_sinusoids_are_those_of_the_paper() -> None:
    positions = plain.sinusoids(np.arange(50), 6)  # (T, D)
    for t in (0, 1, 49):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert positions[t, 2 * i] == pytest.approx(math.sin(angle), abs=1e-6)
            assert positions[t, 2 * i + 1] == pytest.approx(math.cos(angle), abs=1e-6)


def test_rotations_turn_pairs_of_the_two_halves() -> None:
    """Channel i and i + H/2 are x and y of a point that turns by t · theta^(-2i/H)."""
    x = np.random.default_rng(0).normal(size=(4, 6))  # (T, H)
    t, i = np.arange(4)[:, None], np.arange(3)
    points = (x[:, :3] + 1j * x[:, 3:]) * np.exp(1j * t * 100.0 ** (-2 * i / 6))
    expected = np.concatenate([points.real, points.imag], axis=1)
    np.testing.assert_allclose(plain.rotate(x, np.arange(4), 100.0)[0], expected, rtol=1e-5)


def test_attention_is_the_formula() -> None:
    """Head by head and token by token, each over the tokens up to it."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(6, 5, 3)), rng.normal(size=(2, 5, 3)), rng.normal(size=(2, 5, 3))
    heads, _ = plain.causal_attention(q[None], k[None], v[None])
    for head in range(6):
        for t in range(5):
            scores = k[head // 3, : t + 1] @ q[head, t] / math.sqrt(3)
            weights = np.exp(scores) / np.exp(scores).sum()
            expected = weights @ v[head // 3, : t + 1]
            np.testing.assert_allclose(heads[0, head, t], expected, rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "changes", [{}, {"position": "sinusoidal"}, {**FAMILIES["llama"], "tie_embeddings": False}]
)
def test_numbers_keep_their_type(changes: dict[str, Any], dtype: type) -> None:
    model = random_model(small_config(**changes), dtype)
    ids, seen = random_tokens(model.config, 2, 4), []
    logits, backward = plain.gpt(
        ids, model.parameters(), model.config, lambda _, a: seen.append(a.dtype)
    )
    loss, loss_backward = plain.cross_entropy(logits, ids, np.ones((2, 4), bool))
    grads = backward(loss_backward(), lambda _, a: seen.append(a.dtype))
    p, state = plain.adamw(model.parameters(), grads, plain.start_adamw(model.parameters()), 0.1)
    seen += [array.dtype for tree in (grads, p, state["m"], state["v"]) for array in leaves(tree)]
    seen += [array.dtype for array in leaves(plain.clip(grads))]
    assert set(seen) == {np.dtype(dtype)}
    assert type(loss) is float


def leaves(tree: Tree) -> list[Array]:
    return list(flatten(tree).values())


def test_a_text_longer_than_the_context_is_refused() -> None:
    model = random_model(small_config(**FAMILIES["llama"]))
    with pytest.raises(ConfigError, match="7 tokens do not fit the context of 6"):
        plain.gpt(random_tokens(model.config, 1, 7), model.parameters(), model.config)
    plain.gpt(random_tokens(model.config, 1, 6), model.parameters(), model.config)


def test_parameters_are_read_where_they_are() -> None:
    """NumPy's are not copied: a page on the model can change one and look again."""
    tree = {"blocks": [{"weight": np.ones(2)}]}
    assert as_numpy(tree)["blocks"][0]["weight"] is tree["blocks"][0]["weight"]


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, 4.0])
def test_only_a_long_gradient_is_clipped(scale: float) -> None:
    gradients = {"w": scale * np.array([[0.6]]), "b": scale * np.array([-0.8])}
    clipped = leaves(plain.clip(gradients))
    expected = [min(scale, 1) * 0.6, min(scale, 1) * -0.8]
    np.testing.assert_allclose(np.concatenate([a.ravel() for a in clipped]), expected, rtol=1e-12)
