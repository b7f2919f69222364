"""Adapters on both backends: their gradients, their training, and what they leave alone."""

from __future__ import annotations

from typing import Any

import mlx.nn as mlx_nn
import numpy as np
import pytest
from mlx_twins import copies, mlx_backend, mx
from small_models import FAMILIES, LLAMA, SWITCHES, random_model, random_tokens, small_config

from llm_explainer import (
    LoRAConfig,
    ModelConfig,
    apply_lora,
    merge_lora,
    numpy_backend,
    plain,
    unmerge_lora,
)
from llm_explainer.batch import Batch
from llm_explainer.gradcheck import check_model
from llm_explainer.init import initializer
from llm_explainer.lora_config import HEAD, AdaptedRows
from llm_explainer.model_spec import ModelSpec
from llm_explainer.profiling.arrays import PRODUCTS, timed_arrays
from llm_explainer.profiling.clock import Clock
from llm_explainer.tree import flatten

BACKENDS = {"numpy": numpy_backend, "mlx": mlx_backend}
EVERYTHING = ("all-linear", HEAD)
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", HEAD]

each_backend = pytest.mark.parametrize("nn", BACKENDS.values(), ids=BACKENDS)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
with_dora = pytest.mark.parametrize("dora", [False, True], ids=["lora", "dora"])


def make_base(nn: Any, seed: int = 0, **changes: Any) -> Any:
    config = small_config(**changes)
    model = nn.GPT(config)
    arrays = flatten(random_model(config, np.float32, seed).parameters())
    model.update({name: array / 2 for name, array in arrays.items()})
    return model


def adapted_model(nn: Any, lora: LoRAConfig, **changes: Any) -> Any:
    """Return a model whose adapters have random numbers everywhere, equal on both backends."""
    model = apply_lora(make_base(nn, **changes), lora, seed=1)
    rng = np.random.default_rng(2)
    learning = flatten(model.trainable()).keys()
    model.update(
        {
            name: array + (rng.normal(scale=0.3, size=array.shape) if name in learning else 0)
            for name, array in copies(model.parameters()).items()
        }
    )
    return model


@with_dora
@pytest.mark.parametrize("targets", [*TARGETS, EVERYTHING], ids=str)
def test_gradients_agree_with_central_differences(targets: Any, dora: bool) -> None:
    config = small_config(**LLAMA, context_length=4)
    checks = check_model(config, lora=LoRAConfig(rank=2, alpha=3.0, targets=targets, dora=dora))
    names = [check.name for check in checks]
    assert any(name.endswith("lora_a") for name in names)
    assert any(name.endswith("magnitude") for name in names) == dora
    assert not [check for check in checks if check.verdict != "ok"]


@each_backend
@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_new_adapters_change_nothing_and_merged_ones_compute_the_same(
    nn: Any, changes: dict[str, Any]
) -> None:
    base = make_base(nn, **changes)
    tokens = random_tokens(base.config, 2, 5)
    for dora in (False, True):
        lora = LoRAConfig(rank=2, targets=EVERYTHING, dora=dora, rank_pattern={"v_proj": 1})
        fresh = apply_lora(base, lora)
        np.testing.assert_allclose(np.asarray(fresh(tokens)), np.asarray(base(tokens)), atol=1e-5)
        adapted = adapted_model(nn, lora, **changes)
        before = copies(adapted.parameters())
        expected = np.asarray(adapted(tokens))
        assert np.abs(expected - np.asarray(base(tokens))).max() > 0.01
        merged = merge_lora(adapted)
        rounding = 1e-5 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(np.asarray(merged(tokens)), expected, atol=rounding)
        assert merged.lora is None
        assert ModelSpec.of(merged) == ModelSpec(merged.config)
        assert list(flatten(nn.GPT(merged.config).parameters())) == [*flatten(merged.parameters())]
        back = unmerge_lora(merged)
        for name, array in copies(back.parameters()).items():
            np.testing.assert_array_equal(array, before[name])


@each_backend
@each_family
def test_several_adapters_stand_on_one_base(nn: Any, family: dict[str, Any]) -> None:
    base = make_base(nn, **family)
    before = copies(base.parameters())
    tokens, targets = (random_tokens(base.config, 4, 5, seed) for seed in (0, 1))
    for kind in (["q_proj"], EVERYTHING):
        adapted = apply_lora(base, LoRAConfig(rank=1, targets=kind, dora=True))
        step = nn.TrainStep(adapted, nn.AdamW(adapted), workers=2)
        losses = [step([Batch(tokens, targets)], 0.1).loss for _ in range(8)]
        assert losses[-1] < losses[0]
    for name, array in copies(base.parameters()).items():
        np.testing.assert_array_equal(array, before[name])
    assert flatten(base.trainable()).keys() == before.keys()
    shared = flatten(adapted.parameters())["blocks.0.attention.qkv_proj.base.weight"]
    assert shared is base.blocks[0].attention.qkv_proj.weight


@with_dora
@each_family
@pytest.mark.parametrize("optimizer", ["AdamW", "Muon"])
def test_both_backends_train_alike(optimizer: str, family: dict[str, Any], dora: bool) -> None:
    lora = LoRAConfig(rank=2, targets=EVERYTHING, dora=dora)
    losses, ends = [], []
    for nn in BACKENDS.values():
        model = apply_lora(make_base(nn, **family), lora, seed=3)
        tokens, targets = (random_tokens(model.config, 4, 6, seed) for seed in (0, 1))
        step = nn.TrainStep(model, getattr(nn, optimizer)(model), workers=1)
        losses.append([step([Batch(tokens, targets)], 0.01).loss for _ in range(20)])
        ends.append(copies(model.trainable()))
    np.testing.assert_allclose(losses[0], losses[1], atol=1e-3)
    for name, array in ends[0].items():
        np.testing.assert_allclose(array, ends[1][name], atol=1e-3, err_msg=name)


@each_backend
@pytest.mark.parametrize("recompute", [False, True])
def test_dropout_hides_inputs_from_adapters_alone(nn: Any, recompute: bool) -> None:
    lora = LoRAConfig(rank=2, dropout=0.5, targets="all-linear")
    model = adapted_model(nn, lora, **LLAMA)
    fresh = apply_lora(make_base(nn, **LLAMA), lora)  # B is 0, so it does not matter what A sees
    tokens, targets = (random_tokens(model.config, 2, 5, seed) for seed in (0, 1))

    def loss(model: Any, seed: int | None) -> float:
        make = np.random.default_rng if nn is numpy_backend else mx.random.key
        rng = None if seed is None else make(seed)
        return float(model.loss_and_grads(tokens, targets, rng=rng, recompute=recompute)[0])

    assert loss(fresh, 1) == pytest.approx(loss(fresh, None), abs=1e-6)
    assert loss(model, 1) == pytest.approx(loss(model, 1), abs=1e-6)
    assert len({round(loss(model, seed), 5) for seed in (None, 1, 2)}) == 3


@each_backend
@with_dora
def test_a_model_with_adapters_is_built_again(nn: Any, dora: bool) -> None:
    lora = LoRAConfig(rank=2, targets=EVERYTHING, dora=dora, rank_pattern="k_proj=1")
    model = adapted_model(nn, lora, **LLAMA)
    spec = ModelSpec.of(model)
    again = ModelSpec.from_dict(spec.to_dict())
    assert again == spec
    assert list(flatten(again.build(nn).trainable())) == list(flatten(model.trainable()))
    assert again.count_parameters() == sum(a.size for a in flatten(model.parameters()).values())
    assert again.count_trainable() == sum(a.size for a in flatten(model.trainable()).values())
    whole = nn.training_bytes(ModelSpec(model.config), 2, 1)
    assert nn.training_bytes(again, 2, 1) < whole


def test_the_base_costs_one_product_in_the_backward_pass() -> None:
    """And the adapters those with A and B."""
    layer = adapted_model(numpy_backend, LoRAConfig(rank=1, targets="q_proj,v_proj")).blocks[0]
    layer = layer.attention.qkv_proj
    x = np.ones((10, 8), np.float32)
    clock = Clock()
    with timed_arrays(clock):
        y, backward = layer.forward(x)
        dy = np.ones(y.shape, np.float32)
        with clock.running() as counts:
            backward(dy)
    found = sum(tally.flops for (_, kind), tally in counts.kernels.items() if kind == PRODUCTS)
    base, (n_inputs, n_rows, n_ranks) = 2 * 10 * layer.base.weight.size, (8, 16, 2)
    assert base < found <= base + 2 * 10 * 2 * (n_rows + n_ranks * n_inputs)


@with_dora
def test_medium_models_keep_little_state(dora: bool) -> None:
    for family in FAMILIES:
        medium = ModelConfig.preset("medium", family=family)
        n_adapters = LoRAConfig(rank=8, dora=dora).count_parameters(medium)
        assert n_adapters <= 0.05 * medium.count_parameters()


def test_adapters_on_a_base_in_few_bits() -> None:
    """QLoRA: ``mlx.nn.quantize`` packs the base, the adapters learn on it."""
    sizes = {"d_model": 32, "d_ff": 64}
    base = make_base(mlx_backend, **sizes)
    mlx_nn.quantize(base, group_size=32, bits=8)
    before = copies(base.parameters())
    assert before["blocks.0.attention.qkv_proj.weight"].dtype == np.uint32
    tokens, targets = (random_tokens(base.config, 4, 5, seed) for seed in (0, 1))
    for dora in (False, True):
        model = apply_lora(base, LoRAConfig(rank=2, dora=dora))
        np.testing.assert_allclose(np.asarray(model(tokens)), np.asarray(base(tokens)), atol=1e-5)
        for dtype in ("float32", "bfloat16"):
            step = mlx_backend.TrainStep(model, mlx_backend.AdamW(model), dtype=dtype)
            losses = [step([Batch(tokens, targets)], 0.01).loss for _ in range(6)]
            assert losses[-1] < losses[0]
        merged = merge_lora(model)
        np.testing.assert_allclose(np.asarray(merged(tokens)), np.asarray(model(tokens)), atol=1e-4)
        assert ModelSpec.of(model).count_trainable() == model.lora.count_parameters(model.config)
    for name, array in copies(base.parameters()).items():
        np.testing.assert_array_equal(array, before[name])


@each_backend
@with_dora
@pytest.mark.parametrize("bias", [False, True])
def test_layers_compute_what_the_page_says(nn: Any, dora: bool, bias: bool) -> None:
    """A layer with one slice over all of its rows, beside ``plain``."""
    rows, rng = AdaptedRows("up_proj", "", 0, 6, 4, 2, 1.5), np.random.default_rng(0)
    base = nn.Linear(4, 6, bias, init=initializer(0))
    layer = nn.LoRALinear(base, [rows], dora=dora, rng=rng)
    base.freeze()
    drawn = {
        name: rng.normal(size=array.shape).astype(np.float32)
        for name, array in copies(layer.parameters()).items()
    }
    layer.update(drawn)
    p = {name: drawn[name] for name in ("lora_a",)}
    p |= {name: drawn[f"slices.0.{name}"] for name in ("lora_b", *["magnitude"] * dora)}
    p["base"] = {name: drawn[f"base.{name}"] for name in ("weight", *["bias"] * bias)}
    for n_rows in (2, 9):  # few, and more than W has columns
        x, dy = (rng.normal(size=(n_rows, width)).astype(np.float32) for width in (4, 6))
        expected, expected_backward = (plain.dora if dora else plain.lora)(x, p, 1.5)
        y, backward = layer.forward(nn.as_array(x))
        np.testing.assert_allclose(np.asarray(y), expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(np.asarray(layer(nn.as_array(x))), expected, atol=1e-5)
        dx, grads = backward(nn.as_array(dy))
        expected_dx, expected_grads = expected_backward(dy)
        np.testing.assert_allclose(np.asarray(dx), expected_dx, rtol=1e-5, atol=1e-5)
        found = {name.rpartition(".")[2]: array for name, array in copies(grads).items()}
        assert found.keys() == expected_grads.keys()
        for name, array in expected_grads.items():
            np.testing.assert_allclose(found[name], array, rtol=1e-4, atol=1e-4, err_msg=name)
