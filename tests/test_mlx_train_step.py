"""A training step on MLX is one on NumPy: update, clipping, dropout, what is not finite."""

from __future__ import annotations

import gc
import math
import shutil
from typing import Any

import numpy as np
import pytest
from mlx_twins import mlx_backend, mx, twins
from small_models import FAMILIES, random_tokens, small_config

from llm_explainer import numpy_backend
from llm_explainer.batch import Batch
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tree import flatten, unflatten

LR = 0.02
OPTIMIZERS: dict[str, tuple[str, dict[str, Any]]] = {
    # With a large eps, gradients that are rounding alone (a key's bias) do not move their weights.
    "adamw": ("AdamW", {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.3}),
    "sgd": ("SGD", {"momentum": 0.7, "weight_decay": 0.3}),
}

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
each_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def make_steps(
    optimizer: tuple[str, dict[str, Any]] = OPTIMIZERS["adamw"],
    clip_norm: float = 1.0,
    **changes: Any,
) -> tuple[numpy_backend.TrainStep, mlx_backend.TrainStep]:
    name, settings = optimizer
    steps = [
        nn.TrainStep(model, getattr(nn, name)(model, **settings), clip_norm=clip_norm, workers=1)
        for nn, model in zip((numpy_backend, mlx_backend), twins(**changes), strict=True)
    ]
    return steps[0], steps[1]


def make_batch(seed: int = 0, B: int = 4, masked: bool = False) -> Batch:
    config = small_config()
    mask = np.random.default_rng(seed).random((B, 6)) < 0.5 if masked else None
    return Batch(random_tokens(config, B, 6, seed), random_tokens(config, B, 6, seed + 100), mask)


def snapshot(step: Any) -> dict[str, np.ndarray]:
    """Return copies of the parameters and of the optimizer's state."""
    arrays = {**flatten(step.model.parameters()), **step.optimizer.state()}
    return {name: np.array(array) for name, array in arrays.items()}


def assert_same(first: Any, second: Any) -> None:
    """Two training steps stand at the same parameters and states."""
    expected, actual = snapshot(first), snapshot(second)
    assert list(actual) == list(expected)
    for name, array in expected.items():
        np.testing.assert_allclose(actual[name], array, atol=1e-4, err_msg=name)
    assert second.optimizer.steps == first.optimizer.steps


@each_family
@each_optimizer
@pytest.mark.parametrize("clip_norm", [0.0, 0.3])
def test_steps_agree(family: dict[str, Any], optimizer: Any, clip_norm: float) -> None:
    """One, two and three micro-batches, masked and not, clipped and not."""
    step, twin = make_steps(optimizer, clip_norm, **family)
    for index in range(6):
        batches = [
            make_batch(10 * index + part, B=part + 2, masked=part == 1)
            for part in range(1 + index % 3)
        ]
        expected, result = step(batches, LR), twin(batches, LR)
        assert result.loss == pytest.approx(expected.loss, abs=1e-4)
        assert result.grad_norm == pytest.approx(expected.grad_norm, rel=1e-4)
        assert_same(step, twin)


@pytest.mark.skipif(
    mx.default_device() == mx.Device(mx.cpu) and shutil.which("g++") is None,
    reason="on a CPU, MLX compiles with g++",
)
def test_the_compiled_step_is_the_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a GPU runs, here on the CPU: state that is declared, changed, replaced from outside.

    Embedding, norm and head alone: g++ takes a second for each operation that is fused.
    """

    monkeypatch.setattr(mx, "default_device", lambda: mx.Device(mx.gpu))
    models = twins(norm="rmsnorm", bias=False)
    for model in models:
        model.blocks.clear()
    step, twin = (
        nn.TrainStep(model, nn.SGD(model, momentum=0.5), clip_norm=0.3, workers=1)
        for nn, model in zip((numpy_backend, mlx_backend), models, strict=True)
    )
    for index in range(3):
        batches = [make_batch(index), make_batch(index + 50, masked=True)]
        assert twin(batches, LR).loss == pytest.approx(step(batches, LR).loss, abs=1e-4)
    assert_same(step, twin)
    with pytest.raises(ConfigError, match="7 tokens do not fit"):
        twin([Batch(np.zeros((1, 7), int), np.zeros((1, 7), int))], LR)
    assert twin.evaluate(batches[1]) == pytest.approx(step.evaluate(batches[1]), abs=1e-3)
    for each in (step, twin):  # arrays that were replaced from outside are seen
        each.model.update(twins(norm="rmsnorm", bias=False)[0].parameters())
        each.optimizer.load_state(7, each.optimizer.state())
        each(batches, LR)
    assert_same(step, twin)
    twin.model.final_norm.weight[0] = math.nan
    before = snapshot(twin)
    assert not twin(batches, LR).is_finite
    for name, array in snapshot(twin).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert twin.optimizer.steps == 8


@pytest.mark.parametrize("value", [np.nan, np.inf])
@each_optimizer
def test_a_step_that_is_not_finite_changes_nothing(optimizer: Any, value: float) -> None:
    _, twin = make_steps(optimizer)
    twin([make_batch()], LR)
    twin.model.blocks[0].feed_forward.down_proj.weight[0, 0] = value
    before = snapshot(twin)
    result = twin([make_batch(1), make_batch(2)], LR)
    assert not result.is_finite
    for name, array in snapshot(twin).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)
    assert twin.optimizer.steps == 1


def test_a_gradient_that_overflows_changes_nothing() -> None:
    """The loss is finite, but the gradient of the head is so long that its square is not."""
    _, twin = make_steps(tie_embeddings=False)
    twin.model.final_norm.weight *= 1e25
    twin.model.head.weight *= 1e-25
    before = snapshot(twin)
    result = twin([make_batch()], LR)
    assert math.isfinite(result.loss)
    assert result.grad_norm == math.inf
    for name, array in snapshot(twin).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_a_mask_that_counts_nothing_is_no_loss() -> None:
    _, twin = make_steps(("SGD", {}))
    before = snapshot(twin)
    tokens, targets, *_ = make_batch()
    result = twin([Batch(tokens, targets, np.zeros(tokens.shape, bool))], LR)
    assert (result.loss, result.grad_norm) == (0, 0)
    for name, array in snapshot(twin).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


def test_dropout_follows_its_seed() -> None:
    def loss(seed: list[int], n_batches: int = 1) -> float:
        return make_steps(dropout=0.3)[1]([make_batch()] * n_batches, LR, dropout_seed=seed).loss

    assert loss([1, 2]) == loss([1, 2])
    assert len({loss([1, 2]), loss([1, 3]), loss([]), loss([1, 2], 2)}) == 4
    assert loss([]) == pytest.approx(make_steps()[0]([make_batch()], LR).loss, abs=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_evaluate_sums_over_what_counts(masked: bool) -> None:
    step, twin = make_steps(dropout=0.3)  # evaluation drops nothing
    before = snapshot(twin)
    batch = make_batch(masked=masked)
    assert twin.evaluate(batch) == pytest.approx(step.evaluate(batch), rel=1e-5)
    for name, array in snapshot(twin).items():
        np.testing.assert_array_equal(array, before[name], err_msg=name)


@each_optimizer
def test_update_takes_a_tree_of_gradients(optimizer: Any) -> None:
    step, twin = make_steps(optimizer)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        like = step.model.parameters()
        grads = unflatten({n: rng.normal(size=a.shape) for n, a in flatten(like).items()}, like)
        step.optimizer.update(grads, LR)
        twin.optimizer.update(grads, LR)
    assert_same(step, twin)


@each_optimizer
def test_states_go_from_one_backend_to_the_other(optimizer: Any) -> None:
    step, twin = make_steps(optimizer)
    for seed in range(3):
        step([make_batch(seed)], LR)
    twin.model.update(step.model.parameters())
    twin.optimizer.load_state(step.optimizer.steps, step.optimizer.state())
    for seed in range(3, 6):
        step([make_batch(seed)], LR)
        twin([make_batch(seed)], LR)
    assert_same(step, twin)
    step.model.update(twin.model.parameters())
    step.optimizer.load_state(twin.optimizer.steps, twin.optimizer.state())
    assert_same(step, twin)


def test_a_foreign_state_is_refused() -> None:
    adamw = mlx_backend.AdamW(mlx_backend.GPT(small_config()))
    state = adamw.state()
    with pytest.raises(ValueError, match=r"m\.final_norm\.bias: \(3,\) does not fit \(8,\)"):
        adamw.load_state(1, {**state, "m.final_norm.bias": np.ones(3)})
    del state["v.final_norm.bias"]
    with pytest.raises(KeyError, match=r"v\.final_norm\.bias is missing"):
        adamw.load_state(1, state)
    assert adamw.steps == 0


@each_family
@pytest.mark.parametrize(
    ("changes", "B"),
    [({}, 8), ({"n_layers": 4, "d_ff": 256}, 8), ({"vocab_size": 2000}, 8), ({"d_ff": 8000}, 1)],
)
def test_training_bytes_is_about_what_a_step_takes(
    family: dict[str, Any], changes: dict[str, Any], B: int
) -> None:
    """The counts are those of a compiled step, and small arrays live on MLX's rounded pages."""
    shape = {"context_length": 32, "d_model": 64, "n_layers": 2, "d_ff": 192}
    config = small_config(**{**family, **shape, **changes})
    gc.collect()  # what other tests left behind
    others = mx.get_active_memory()
    model = mlx_backend.GPT(config)
    step = mlx_backend.TrainStep(model, mlx_backend.AdamW(model))
    tokens = random_tokens(config, B, 32)
    step([Batch(tokens, tokens)], LR)
    mx.reset_peak_memory()
    step([Batch(tokens, tokens)], LR)
    taken = mx.get_peak_memory() - others
    assert 0.6 < mlx_backend.training_bytes(ModelSpec(config), B, 1) / taken < 1.4
