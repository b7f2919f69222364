"""The training step: shards and micro-batches add up, clipping, dropout, and what is not finite."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from small_models import FAMILIES, Array, random_model, random_tokens, small_config

from llm_explainer.batch import Batch
from llm_explainer.numpy_backend import GPT, SGD, AdamW, StepResult, TrainStep, available_cores
from llm_explainer.tree import flatten

LR = 0.05

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def make_step(
    config_changes: dict[str, Any] | None = None,
    *,
    dtype: type = np.float64,
    workers: int = 2,
    clip_norm: float = 0.0,
) -> TrainStep:
    """Return a step with plain gradient descent, which shows every difference of a gradient."""
    model = random_model(small_config(**config_changes or {}), dtype)
    return TrainStep(model, SGD(model, momentum=0.5), clip_norm=clip_norm, workers=workers)


def make_batch(B: int = 5, T: int = 6, seed: int = 0, masked: bool = False) -> Batch:
    config = small_config()
    mask = np.random.default_rng(seed).random((B, T)) < 0.5 if masked else None
    return Batch(random_tokens(config, B, T, seed), random_tokens(config, B, T, seed + 100), mask)


def parameters(train_step: TrainStep) -> Array:
    return train_step.optimizer.flat.values


def run(train_step: TrainStep, steps: Sequence[Sequence[Batch]]) -> list[StepResult]:
    return [train_step(batches, LR) for batches in steps]


def assert_same_training(
    first: TrainStep, second: TrainStep, steps: Sequence[tuple[Sequence[Batch], Sequence[Batch]]]
) -> None:
    """Two ways of feeding the same tokens end in the same place, to rounding."""
    results = run(first, [batches for batches, _ in steps])
    for result, expected in zip(results, run(second, [b for _, b in steps]), strict=True):
        assert result.loss == pytest.approx(expected.loss, rel=1e-10)
        assert result.grad_norm == pytest.approx(expected.grad_norm, rel=1e-10)
    np.testing.assert_allclose(parameters(first), parameters(second), rtol=1e-9, atol=1e-11)


@each_family
@pytest.mark.parametrize("masked", [False, True])
def test_one_thread_and_several_agree(family: dict[str, Any], masked: bool) -> None:
    batches = [[make_batch(seed=seed, masked=masked)] for seed in range(3)]
    for workers in (2, 3):
        assert_same_training(
            make_step(family, workers=workers),
            make_step(family, workers=1),
            [(batch, batch) for batch in batches],
        )


@each_family
def test_a_step_is_the_gradient_of_the_mean_loss(family: dict[str, Any]) -> None:
    train_step = make_step(family)
    tokens, targets, mask, _ = make_batch(masked=True)
    before = {n: a.copy() for n, a in flatten(train_step.model.parameters()).items()}
    loss, grads = train_step.model.loss_and_grads(tokens, targets, mask)
    result = train_step([Batch(tokens, targets, mask)], LR)
    assert result.loss == pytest.approx(loss, rel=1e-12)
    flat = np.concatenate([grad.ravel() for grad in flatten(grads).values()])
    assert result.grad_norm == pytest.approx(np.linalg.norm(flat), rel=1e-12)
    for name, array in flatten(train_step.model.parameters()).items():
        expected = before[name] - LR * flatten(grads)[name]
        np.testing.assert_allclose(array, expected, rtol=1e-9, atol=1e-12, err_msg=name)


@each_family
@pytest.mark.parametrize("workers", [1, 2])
def test_the_same_run_twice_gives_the_same_bytes(family: dict[str, Any], workers: int) -> None:
    steps = [[make_batch(seed=seed), make_batch(seed=seed + 50)] for seed in range(3)]
    changes = {**family, "dropout": 0.2}
    ends = []
    for _ in range(2):
        train_step = make_step(changes, dtype=np.float32, workers=workers)
        for index, batches in enumerate(steps):
            train_step(batches, LR, dropout_seed=[7, index])
        ends.append(parameters(train_step).tobytes())
    assert ends[0] == ends[1]


@pytest.mark.parametrize("masked", [False, True])
def test_micro_batches_add_up_to_one_large_batch(masked: bool) -> None:
    """Every token counts the same, however many its micro-batch has that count."""
    tokens, targets, mask, _ = make_batch(B=6, masked=masked)
    if mask is not None:
        mask[0], mask[1:3], mask[2, 0] = True, False, True  # 6 and 1 in the first two parts

    def part(rows: slice) -> Batch:
        return Batch(tokens, targets, mask).rows(rows)

    parts = [part(slice(0, 1)), part(slice(1, 3)), part(slice(3, 6))]
    whole = [part(slice(0, 6))]
    assert_same_training(make_step(), make_step(), [(parts, whole), (whole, parts)])


def test_a_batch_smaller_than_the_workers() -> None:
    """Gradients of shards that have no rows now are not left over from the step before."""
    small, large = make_batch(B=1, seed=1), make_batch(B=4)
    steps = [([large], [large]), ([small], [small]), ([small, large], [small, large])]
    assert_same_training(make_step(workers=4), make_step(workers=1), steps)


def test_a_mask_that_counts_nothing_changes_nothing() -> None:
    train_step = make_step()
    tokens, targets, *_ = make_batch()
    before = parameters(train_step).copy()
    result = train_step([Batch(tokens, targets, np.zeros(tokens.shape, bool))], LR)
    assert (result.loss, result.grad_norm) == (0, 0)
    np.testing.assert_array_equal(parameters(train_step), before)


def test_clipping_keeps_the_direction() -> None:
    batch = make_batch()
    free, clipped = make_step(), make_step(clip_norm=0.01)
    start = parameters(free).copy()
    norm = free([batch], LR).grad_norm
    assert norm > 0.01
    assert clipped([batch], LR).grad_norm == pytest.approx(norm)  # reported before clipping
    np.testing.assert_allclose(
        parameters(clipped) - start,
        (parameters(free) - start) * 0.01 / norm,
        rtol=1e-6,
        atol=1e-12,
    )
    assert np.linalg.norm(parameters(clipped) - start) == pytest.approx(LR * 0.01)


def test_a_gradient_shorter_than_the_limit_is_not_stretched() -> None:
    batch = make_batch()
    free, clipped = make_step(), make_step(clip_norm=1e6)
    free([batch], LR)
    clipped([batch], LR)
    np.testing.assert_array_equal(parameters(clipped), parameters(free))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_step_that_is_not_finite_changes_nothing(value: float) -> None:
    model = random_model(small_config(), np.float32)
    adamw = AdamW(model)
    train_step = TrainStep(model, adamw, workers=2)
    train_step([make_batch()], 1e-3)
    model.parameters()["blocks"][0]["feed_forward"]["down_proj"]["weight"][0, 0] = value
    before = adamw.flat.values.copy()
    state = {name: array.copy() for name, array in adamw.state().items()}
    result = train_step([make_batch(seed=1)], 1e-3)
    assert not result.is_finite
    np.testing.assert_array_equal(adamw.flat.values, before)
    for name, array in adamw.state().items():
        np.testing.assert_array_equal(array, state[name])
    assert adamw.steps == 1


def test_a_gradient_that_overflows_changes_nothing() -> None:
    """The loss is finite, but the gradient of the head is so long that its square is not."""
    train_step = make_step({"tie_embeddings": False}, dtype=np.float32, clip_norm=1.0)
    tree = train_step.model.parameters()
    tree["final_norm"]["weight"] *= 1e25
    tree["head"]["weight"] *= 1e-25
    before = parameters(train_step).copy()
    result = train_step([make_batch()], LR)
    assert math.isfinite(result.loss)
    assert result.grad_norm == math.inf
    np.testing.assert_array_equal(parameters(train_step), before)


def test_is_finite_needs_both() -> None:
    assert StepResult(1.0, 2.0).is_finite
    assert not StepResult(math.nan, 1.0).is_finite
    assert not StepResult(1.0, math.inf).is_finite


def test_dropout_follows_its_seed() -> None:
    def loss(seed: Sequence[int], n_batches: int = 1) -> float:
        train_step = make_step({"dropout": 0.3})
        return train_step([make_batch()] * n_batches, LR, dropout_seed=seed).loss

    assert loss([1, 2]) == loss([1, 2])
    assert loss([1, 2]) != loss([1, 3])
    assert loss([]) == pytest.approx(make_step()([make_batch()], LR).loss)  # nothing dropped
    assert loss([1, 2], n_batches=2) != loss([1, 2])  # each micro-batch drops others


def test_evaluate_sums_over_what_counts() -> None:
    train_step = make_step({"dropout": 0.3})  # evaluation drops nothing
    tokens, targets, mask, _ = make_batch(masked=True)
    assert mask is not None
    before = parameters(train_step).copy()
    loss, n_targets = train_step.evaluate(Batch(tokens, targets, mask))
    assert n_targets == mask.sum()
    mean = train_step.model.loss(tokens, targets, mask)
    assert loss == pytest.approx(mean * mask.sum(), rel=1e-12)
    loss, n_targets = train_step.evaluate(Batch(tokens, targets))
    assert n_targets == targets.size
    assert loss == pytest.approx(train_step.model.loss(tokens, targets) * targets.size)
    np.testing.assert_array_equal(parameters(train_step), before)


@each_family
def test_training_learns_a_pattern(family: dict[str, Any]) -> None:
    """Counting round and round is learned to near certainty."""
    config = small_config(**{**family, "d_model": 16})
    model = GPT(config)
    train_step = TrainStep(model, AdamW(model), workers=2)
    windows = (np.arange(7)[None, :] + np.arange(7)[:, None]) % 7  # (B, T + 1)
    batch = Batch(windows[:, :-1], windows[:, 1:])
    losses = [train_step([batch], 0.01).loss for _ in range(120)]
    assert losses[0] > 1.8
    assert losses[-1] < 0.1


def test_workers_default_to_the_cores_at_hand() -> None:
    model = GPT(small_config())
    assert TrainStep(model, SGD(model)).n_workers == available_cores() >= 1
