"""The backends agree with the plain model: NumPy in float64 on every switch, MLX in float32."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations, product
from typing import Any, get_args

import numpy as np
import pytest
from small_models import FAMILIES, Array, random_model, random_tokens, small_config

from llm_explainer import generate, load_backend, plain
from llm_explainer.batch import Batch
from llm_explainer.config import Activation, ModelConfig, Norm, Position
from llm_explainer.generation import generate_ids
from llm_explainer.numpy_backend import AdamW, TrainStep
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.tree import Tree, flatten, unflatten

SWITCHES: dict[str, tuple[Any, ...]] = {
    "norm": get_args(Norm),
    "position": get_args(Position),
    "activation": get_args(Activation),
    "bias": (True, False),
    "tie_embeddings": (True, False),
    "n_kv_heads": (1, 2, 4),
}
SETTINGS: dict[str, Any] = {"n_layers": 2, "d_model": 16, "rope_theta": 100.0, "norm_eps": 0.01}
"""Heads 4 wide, so that RoPE has two angles; and a setting that is ignored shows."""

LR = 0.01

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def combinations_of_switches(*names: str) -> Iterator[dict[str, Any]]:
    for values in product(*(SWITCHES[name] for name in names)):
        yield dict(zip(names, values, strict=True))


def pairwise() -> list[dict[str, Any]]:
    """Return few combinations in which every pair of values of two switches meets."""

    def pairs(changes: dict[str, Any]) -> set[tuple[tuple[str, Any], ...]]:
        return set(combinations(changes.items(), 2))

    everything = list(combinations_of_switches(*SWITCHES))
    missing = set().union(*map(pairs, everything))
    chosen = []
    while missing:
        chosen.append(max(everything, key=lambda changes: len(pairs(changes) & missing)))
        missing -= pairs(chosen[-1])
    return chosen


def run_plain(
    config: ModelConfig, parameters: Tree, tokens: Array, targets: Array, mask: Array | None
) -> tuple[Array, float, Tree]:
    logits, backward = plain.gpt(tokens, parameters, config)
    loss, loss_backward = plain.cross_entropy(logits, targets, mask)
    return logits, loss, backward(loss_backward())


def data(config: ModelConfig) -> tuple[Array, Array, Array]:
    """Return tokens, targets and a mask, (B, T), shorter than the context."""
    tokens, targets = random_tokens(config, 3, 5), random_tokens(config, 3, 5, seed=1)
    return tokens, targets, np.random.default_rng(0).random((3, 5)) < 0.6


@pytest.mark.parametrize("norm", SWITCHES["norm"])
@pytest.mark.parametrize("position", SWITCHES["position"])
@pytest.mark.parametrize("activation", SWITCHES["activation"])
def test_numpy_agrees_on_every_combination(norm: str, position: str, activation: str) -> None:
    """All 288, with biases and norms that are not what they start as: 0 and 1 hide errors."""
    for others in combinations_of_switches("bias", "tie_embeddings", "n_kv_heads"):
        switches = {"norm": norm, "position": position, "activation": activation, **others}
        model = random_model(small_config(**SETTINGS, **switches))
        tokens, targets, some = data(model.config)
        for mask in (None, some):
            parameters = model.parameters()
            logits, loss, grads = run_plain(model.config, parameters, tokens, targets, mask)
            backend_loss, backend_grads = model.loss_and_grads(tokens, targets, mask)
            assert backend_loss == pytest.approx(loss, rel=1e-9)
            np.testing.assert_allclose(model(tokens), logits, rtol=1e-9, atol=1e-9)
            assert_equal_gradients(backend_grads, grads, 1e-9)


def assert_equal_gradients(found: Tree, expected: Tree, tolerance: float) -> None:
    """Every number within ``tolerance`` of the longest array's typical one, in the same order."""
    found, expected = flatten(found), flatten(expected)
    assert list(found) == list(expected)
    unit = max(float(np.sqrt(np.mean(array**2))) for array in expected.values())
    for name, array in expected.items():
        assert np.shape(found[name]) == array.shape, name
        error = np.abs(np.asarray(found[name]) - array).max()
        assert error <= tolerance * max(unit, float(np.abs(array).max())), name


@pytest.mark.parametrize(
    "changes", pairwise(), ids=lambda changes: "-".join(map(str, changes.values()))
)
def test_mlx_agrees(changes: dict[str, Any]) -> None:
    pytest.importorskip("mlx.core", exc_type=ImportError)
    model = random_model(small_config(**SETTINGS, **changes), np.float32)
    tokens, targets, mask = data(model.config)
    twin = load_backend("mlx").GPT(model.config)
    twin.update(model.parameters())
    logits, loss, grads = run_plain(model.config, twin.parameters(), tokens, targets, mask)
    twin_loss, twin_grads = twin.loss_and_grads(tokens, targets, mask)
    assert float(twin_loss) == pytest.approx(loss, rel=1e-4)
    np.testing.assert_allclose(np.asarray(twin(tokens)), logits, rtol=1e-4, atol=1e-4)
    assert_equal_gradients(twin_grads, grads, 1e-4)


def test_pairs_of_switches_all_meet_in_few_models() -> None:
    assert len(pairwise()) <= 16


@each_family
def test_dropout_agrees(family: dict[str, Any]) -> None:
    """The plain model has none, but a callback can drop from each result that a backend drops from.

    The embeddings' sum, then in each block attention's weights, its result and the feed-forward
    network's, each with numbers that are drawn in this order. (That the gradients with dropout are
    right is shown by differences.)
    """
    rate = 0.3
    model = random_model(small_config(**SETTINGS, **family, dropout=rate))
    tokens, targets, mask = data(model.config)
    rng, dropped = np.random.default_rng(4), []

    def drop(name: str, array: Array) -> None:
        if re.fullmatch(r"embeddings|blocks\.\d\.(attention(\.weights)?|feed_forward)", name):
            array *= (rng.random(array.shape, np.float32) >= rate) / (1 - rate)
            dropped.append(name)

    logits, _ = plain.gpt(tokens, model.parameters(), model.config, drop)
    loss, _ = plain.cross_entropy(logits, targets, mask)
    backend_loss, _ = model.loss_and_grads(tokens, targets, mask, rng=np.random.default_rng(4))
    assert backend_loss == pytest.approx(loss, rel=1e-9)
    assert len(dropped) == 1 + 2 * 3


@each_family
def test_adamw_agrees(family: dict[str, Any]) -> None:
    """Five steps with the backend's defaults; matrices decay, biases and norms do not."""
    model = random_model(small_config(**family))
    parameters = copy_of(model.parameters())
    optimizer, state = AdamW(model), plain.start_adamw(parameters)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        flat = {name: rng.normal(size=a.shape) for name, a in flatten(parameters).items()}
        gradients = unflatten(flat, like=parameters)
        before = copy_of({"p": parameters, "g": gradients, "s": {"m": state["m"]}})
        changed, new_state = plain.adamw(parameters, gradients, state, LR)
        assert_equal({"p": parameters, "g": gradients, "s": {"m": state["m"]}}, before)
        parameters, state = changed, new_state
        optimizer.update(gradients, LR)
        assert_close(model.parameters(), parameters)
    assert state["steps"] == optimizer.steps == 5


@each_family
def test_training_agrees(family: dict[str, Any]) -> None:
    """Five whole steps, clipped by the backend's default."""
    model = random_model(small_config(**family))
    parameters = copy_of(model.parameters())
    step, state = TrainStep(model, AdamW(model), workers=1), plain.start_adamw(parameters)
    was_clipped = []
    for seed in range(5):
        tokens, targets = (random_tokens(model.config, 3, 5, 2 * seed + i) for i in range(2))
        loss, parameters, state = plain.train_step(
            tokens, targets, parameters, state, model.config, LR
        )
        result = step([Batch(tokens, targets)], LR)
        was_clipped.append(result.grad_norm > 1)
        assert result.loss == pytest.approx(loss, rel=1e-9)
        assert_close(model.parameters(), parameters)
    assert any(was_clipped)


@each_family
def test_greedy_text_agrees(family: dict[str, Any]) -> None:
    """From prompts of several lengths to the end of the context."""
    tokenizer = CharTokenizer.train(["abcdefgh"])
    config = small_config(context_length=12, vocab_size=tokenizer.vocab_size, **family)
    model = random_model(config, np.float32)
    texts = set()
    for prompt in ([0], [5, 1, 5], [2, 3, 4, 0, 1, 1, 6]):
        text = plain.generate(prompt, model.parameters(), config, n_new=13 - len(prompt))
        options: Any = {"temperature": 0.0, "max_tokens": 13 - len(prompt)}
        assert [*prompt, *generate_ids(model, prompt, **options)] == text
        stream = generate(model, tokenizer, prompt, **options)
        "".join(stream)
        assert [*prompt, *stream.ids] == text[: len(prompt) + len(stream.ids)]
        texts.add(tuple(text[len(prompt) :]))
    assert len(texts) == 3
    assert any(len(set(text)) > 2 for text in texts)


def copy_of(tree: Tree) -> Tree:
    return unflatten({name: array.copy() for name, array in flatten(tree).items()}, like=tree)


def assert_equal(found: Tree, expected: Tree) -> None:
    for name, array in flatten(expected).items():
        np.testing.assert_array_equal(flatten(found)[name], array, err_msg=name)


def assert_close(found: Tree, expected: Tree) -> None:
    assert list(flatten(found)) == list(flatten(expected))
    for name, array in flatten(expected).items():
        np.testing.assert_allclose(flatten(found)[name], array, rtol=1e-9, atol=1e-12, err_msg=name)
