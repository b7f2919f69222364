"""AdamW and SGD: by the formulas, and by whole training runs that PyTorch's own optimizers made."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import FAMILIES, SWITCHES, Array, random_model, random_tokens, small_config

from llm_explainer.batch import Batch
from llm_explainer.config import ModelConfig
from llm_explainer.numpy_backend import GPT, SGD, AdamW, TrainStep, optimizer
from llm_explainer.tree import flatten, unflatten

GOLDEN = Path(__file__).parent / "golden" / "torch_training.npz"
GOLDEN_CONFIGS = {
    family: ModelConfig(
        vocab_size=11,
        context_length=8,
        d_model=8,
        n_layers=2,
        n_heads=4,
        d_ff=12,
        **changes,
    )
    for family, changes in FAMILIES.items()
}
LR = 0.01

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)


def random_grads(model: GPT, seed: int) -> dict[str, Any]:
    """Return gradients nested like the model's parameters."""
    rng = np.random.default_rng(seed)
    flat = {name: rng.normal(size=a.shape) for name, a in flatten(model.parameters()).items()}
    return unflatten(flat, like=model.parameters())


def copies(model: GPT) -> dict[str, Array]:
    return {name: array.copy() for name, array in flatten(model.parameters()).items()}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", FAMILIES)
def test_training_repeats_pytorch_with_adamw(family: str, dtype: type) -> None:
    """The settings are those of benchmarks/check_against_torch.py, which wrote the file."""
    model = GPT(GOLDEN_CONFIGS[family]).astype(dtype)
    adamw = AdamW(model, betas=(0.9, 0.95), eps=1e-4, weight_decay=0.1)
    assert_repeats(family, "adamw", TrainStep(model, adamw, clip_norm=0, threads=1), LR)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("family", FAMILIES)
def test_training_repeats_pytorch_with_sgd(family: str, dtype: type) -> None:
    model = GPT(GOLDEN_CONFIGS[family]).astype(dtype)
    sgd = SGD(model, momentum=0.9)
    assert_repeats(family, "sgd", TrainStep(model, sgd, clip_norm=0, threads=2), 0.1)


def assert_repeats(family: str, name: str, train_step: TrainStep, learning_rate: float) -> None:
    """Train on the stored batches; losses and last weights must be PyTorch's."""
    model = train_step.model
    with np.load(GOLDEN, allow_pickle=False) as stored:
        golden = dict(stored)
    names = list(flatten(model.parameters()))
    start = {parameter: golden[f"{family}/start/{parameter}"] for parameter in names}
    model.update(unflatten(start, like=model.parameters()))
    losses = [
        train_step([Batch(*batch)], learning_rate).loss
        for batch in zip(golden["tokens"], golden["targets"], golden["mask"], strict=True)
    ]
    np.testing.assert_allclose(losses, golden[f"{family}/{name}/losses"], rtol=1e-5)
    for parameter, array in flatten(model.parameters()).items():
        expected = golden[f"{family}/{name}/{parameter}"]
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-5, err_msg=parameter)


def test_adamw_is_the_formula() -> None:
    """Algorithm 2 of the paper, step by step; decay reaches matrices alone."""
    model = random_model(small_config())
    beta1, beta2, eps, decay = 0.8, 0.9, 1e-3, 0.3
    adamw = AdamW(model, betas=(beta1, beta2), eps=eps, weight_decay=decay)
    expected = copies(model)
    m = {name: np.zeros_like(array) for name, array in expected.items()}
    v = {name: np.zeros_like(array) for name, array in expected.items()}
    for t in range(1, 5):
        grads = random_grads(model, seed=t)
        adamw.update(grads, LR)
        for name, g in flatten(grads).items():
            m[name] = beta1 * m[name] + (1 - beta1) * g
            v[name] = beta2 * v[name] + (1 - beta2) * g * g
            m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
            if expected[name].ndim >= 2:
                expected[name] *= 1 - LR * decay
            expected[name] -= LR * m_hat / (np.sqrt(v_hat) + eps)
    for name, array in flatten(model.parameters()).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-12, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(adamw.state()[f"m.{name}"], m[name], rtol=1e-12)
        np.testing.assert_allclose(adamw.state()[f"v.{name}"], v[name], rtol=1e-12)
    assert adamw.steps == 4


def test_sgd_is_the_formula() -> None:
    model = random_model(small_config())
    sgd = SGD(model, momentum=0.7, weight_decay=0.3)
    expected = copies(model)
    u = {name: np.zeros_like(array) for name, array in expected.items()}
    for t in range(1, 4):
        grads = random_grads(model, seed=t)
        sgd.update(grads, LR)
        for name, g in flatten(grads).items():
            u[name] = 0.7 * u[name] + g
            if expected[name].ndim >= 2:
                expected[name] *= 1 - LR * 0.3
            expected[name] -= LR * u[name]
    for name, array in flatten(model.parameters()).items():
        np.testing.assert_allclose(array, expected[name], rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_slices_and_chunks_make_no_difference(
    kind: type[AdamW | SGD], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the flat array is cut, across the border of what is decayed too."""
    whole, cut = random_model(small_config()), random_model(small_config())
    optimizers = [kind(model, weight_decay=0.5) for model in (whole, cut)]
    size = optimizers[0].flat.size
    gradient = np.random.default_rng(0).normal(size=size)
    optimizers[0].steps = optimizers[1].steps = 1
    optimizers[0].update_slice(gradient, LR, 0.5, slice(0, size))
    monkeypatch.setattr(optimizer, "CHUNK", 37)
    for start in range(0, size, 101):
        optimizers[1].update_slice(gradient, LR, 0.5, slice(start, min(start + 101, size)))
    np.testing.assert_array_equal(optimizers[0].flat.values, optimizers[1].flat.values)


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_scale_multiplies_the_gradient(kind: type[AdamW | SGD]) -> None:
    scaled, plain = random_model(small_config()), random_model(small_config())
    gradient = np.random.default_rng(0).normal(size=scaled.config.count_parameters())
    for model, grads, scale in ((scaled, gradient, 0.25), (plain, gradient / 4, 1.0)):
        fitted = kind(model)
        fitted.steps = 1
        fitted.update_slice(grads, LR, scale, slice(0, fitted.flat.size))
    for name, array in flatten(scaled.parameters()).items():
        np.testing.assert_allclose(array, flatten(plain.parameters())[name], rtol=1e-12)


@each_switch
def test_the_model_lives_in_one_flat_buffer(changes: dict[str, Any]) -> None:
    model = random_model(small_config(**changes), np.float32)
    before = copies(model)
    tokens = random_tokens(model.config, 2, 4)
    logits = model(tokens)
    flat = AdamW(model).flat
    assert flat.size == model.config.count_parameters() == len(flat.values)
    assert flat.values.ctypes.data % mmap.PAGESIZE == 0
    n_decayed = 0
    for name, array in flatten(model.parameters()).items():
        np.testing.assert_array_equal(array, before[name])
        assert np.shares_memory(array, flat.values)
        decayed = np.shares_memory(array, flat.values[: flat.n_decayed])
        assert decayed == (array.ndim == 2), name
        n_decayed += array.size * decayed
    assert n_decayed == flat.n_decayed
    np.testing.assert_array_equal(model(tokens), logits)


def test_state_has_a_name_for_every_parameter() -> None:
    model = GPT(small_config())
    names = list(flatten(model.parameters()))
    assert list(AdamW(model).state()) == [f"{s}.{name}" for s in ("m", "v") for name in names]
    assert list(SGD(model).state()) == [f"u.{name}" for name in names]


@pytest.mark.parametrize("kind", [AdamW, SGD])
def test_a_loaded_state_goes_on_exactly(kind: type[AdamW | SGD]) -> None:
    settings = {"weight_decay": 0.1} | ({"momentum": 0.9} if kind is SGD else {})
    model = random_model(small_config(), np.float32)
    first = kind(model, **settings)
    for seed in range(3):
        first.update(random_grads(model, seed), LR)
    resumed_model = random_model(small_config(), np.float32, seed=9)
    resumed_model.update(model.parameters())
    resumed = kind(resumed_model, **settings)
    resumed.load_state(first.steps, {name: array.copy() for name, array in first.state().items()})
    for fitted, target in ((first, model), (resumed, resumed_model)):
        fitted.update(random_grads(target, 3), LR)
    assert resumed.steps == first.steps == 4
    np.testing.assert_array_equal(first.flat.values, resumed.flat.values)


def test_a_foreign_state_is_refused() -> None:
    adamw = AdamW(GPT(small_config()))
    state = {name: array.copy() for name, array in adamw.state().items()}
    with pytest.raises(ValueError, match=r"m\.final_norm\.bias: \(3,\) does not fit \(8,\)"):
        adamw.load_state(1, {**state, "m.final_norm.bias": np.ones(3)})
    del state["v.final_norm.bias"]
    with pytest.raises(KeyError, match=r"v\.final_norm\.bias is missing"):
        adamw.load_state(1, state)
