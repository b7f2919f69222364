"""A layer can stand in for another: every Linear and every table replaced by one that hides it.

What stands in has no ``weight`` to read, so whoever reads one past its owner fails here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from mlx_twins import mlx_backend, mx
from small_models import SWITCHES, Array, random_model, random_tokens, small_config

from llm_explainer import numpy_backend
from llm_explainer.batch import Batch
from llm_explainer.mlx_backend import Module as MLXModule
from llm_explainer.numpy_backend.module import Backward, gradients_like, place_for
from llm_explainer.tree import Tree, flatten

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)


class Standing(numpy_backend.Module):
    """Does what the layer inside it does."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def __call__(self, x: Array) -> Array:
        return self.inside(x)

    def write(self, x: Array, y: Array) -> None:
        self.inside.write(x, y)

    def forward(self, x: Array, rng: Any = None) -> tuple[Array, Backward]:
        y, backward = self.inside.forward(x, *([] if rng is None else [rng]))
        return y, self._hand_on(backward)

    def backward_of(self, x: Array) -> Backward:
        return self._hand_on(self.inside.backward_of(x))

    def add_gradients(self, ids: Array, dy: Array, grads: Tree) -> None:
        self.inside.add_gradients(ids, dy, place_for("inside", grads))

    def as_linear(self) -> Standing:
        return Standing(self.inside.as_linear())

    def _hand_on(self, backward: Backward) -> Backward:
        def hand_on(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dx, _ = backward(dy, place_for("inside", grads))
            return dx, grads

        return hand_on


class MLXStanding(MLXModule):
    """The same on MLX."""

    def __init__(self, inside: Any) -> None:
        super().__init__()
        self.inside = inside

    def __call__(self, x: Any) -> Any:
        return self.inside(x)

    def run(self, x: Any, rng: Any = None) -> Any:
        return self.inside.run(x, rng)

    def as_linear(self) -> Callable[[Any], Any]:
        return self.inside.as_linear()


STANDINGS = {"numpy": (numpy_backend, Standing), "mlx": (mlx_backend, MLXStanding)}
each_backend = pytest.mark.parametrize(("nn", "standing"), STANDINGS.values(), ids=STANDINGS)


def replace_all(nn: Any, module: Any, standing: Any) -> int:
    """Let somebody stand in for every Linear and Embedding inside the module; return how many."""
    attributes = module if isinstance(module, dict) else vars(module)
    n_replaced = 0
    for name, value in list(attributes.items()):
        if isinstance(value, (nn.Linear, nn.Embedding)):
            attributes[name] = standing(value)
            n_replaced += 1
        elif isinstance(value, nn.Module):
            n_replaced += replace_all(nn, value, standing)
        elif isinstance(value, list):
            n_replaced += sum(replace_all(nn, each, standing) for each in value)
    return n_replaced


def models(nn: Any, standing: Any, **changes: Any) -> tuple[Any, Any]:
    """Return a model, and the same with all of its weights hidden."""
    config = small_config(**changes)
    made = []
    for hidden in (False, True):
        model = nn.GPT(config)
        model.update(random_model(config, np.float32).parameters())
        if hidden:
            gated = config.activation == "swiglu"
            n_tables = 1 + (config.position == "learned") + (not config.tie_embeddings)
            n_expected = n_tables + config.n_layers * (5 if gated else 4)
            assert replace_all(nn, model, standing) == n_expected
        made.append(model)
    return made[0], made[1]


def assert_equal_trees(actual: Tree, expected: Tree) -> None:
    found = {name.replace(".inside.", "."): array for name, array in flatten(actual).items()}
    right = flatten(expected)
    assert list(found) == list(right)
    for name, array in right.items():
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(array), err_msg=name)


@each_backend
@each_switch
def test_everything_is_computed_as_before(nn: Any, standing: Any, changes: dict[str, Any]) -> None:
    plain, hidden = models(nn, standing, **changes)
    tokens, targets = (random_tokens(plain.config, 3, 5, seed) for seed in (0, 1))
    mask = random_tokens(plain.config, 3, 5, 2) % 2
    np.testing.assert_array_equal(np.asarray(hidden(tokens)), np.asarray(plain(tokens)))
    assert_equal_trees(hidden.groups(), plain.groups())
    for options in ({}, {"mask": mask}, {"recompute": True}):
        (loss, grads), (expected_loss, expected) = (
            model.loss_and_grads(tokens, targets, **options) for model in (hidden, plain)
        )
        assert loss == expected_loss
        assert_equal_trees(grads, expected)
    caches = [model.make_cache(3) for model in (hidden, plain)]
    for piece in (tokens[:, :4], tokens[:, 4:]):
        found, right = (
            np.asarray(model.next_logits(piece, cache))
            for model, cache in zip((hidden, plain), caches, strict=True)
        )
        np.testing.assert_array_equal(found, right)


@each_backend
@pytest.mark.parametrize("optimizer", ["AdamW", "Muon", "SGD"])
@pytest.mark.parametrize("family", ["gpt2", "llama untied"])
def test_training_is_as_before(nn: Any, standing: Any, optimizer: str, family: str) -> None:
    plain, hidden = models(nn, standing, **SWITCHES[family])
    tokens, targets = (random_tokens(plain.config, 4, 6, seed) for seed in (0, 1))
    for model in (plain, hidden):
        step = nn.TrainStep(model, getattr(nn, optimizer)(model), workers=2)
        for _ in range(3):
            step([Batch(tokens, targets)], 0.01)
    assert_equal_trees(hidden.parameters(), plain.parameters())


def test_fewer_bits_are_as_before() -> None:
    plain, hidden = models(*STANDINGS["mlx"], **SWITCHES["llama"])
    ids = mx.array(random_tokens(plain.config, 3, 5))
    weights = mx.full(ids.shape, 1 / ids.size)
    (loss, grads), (expected_loss, expected) = (
        model.differentiate(ids, ids, weights, dtype=mx.bfloat16) for model in (hidden, plain)
    )
    assert loss.item() == expected_loss.item()
    assert_equal_trees(grads, expected)
