"""Mixed precision: bfloat16 inside the step, float32 in everything that lasts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlx_twins import mlx_backend, mx, twins
from small_models import FAMILIES, SWITCHES, random_tokens, small_config

from llm_explainer import numpy_backend
from llm_explainer.batch import Batch
from llm_explainer.errors import ConfigError
from llm_explainer.mlx_backend.engine import precision
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.pretrain import DataConfig, PretrainSettings, start_run
from llm_explainer.training.run_folder import RunFolder
from llm_explainer.tree import flatten

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def arrays_of(step: Any) -> dict[str, Any]:
    return {**flatten(step.model.parameters()), **flatten(step.optimizer.arrays)}


@each_switch
def test_every_stage_computes_in_bfloat16(changes: dict[str, Any]) -> None:
    """One float32 table or number would turn all that follows into float32."""
    model = mlx_backend.GPT(small_config(**changes, dropout=0.1))
    tokens = mx.array(random_tokens(model.config, 2, 5), mx.int32)
    inside = precision.in_precision(model, mx.bfloat16)
    model.replace(inside)
    hidden = model._hidden(tokens, rng=mx.random.key(0), dtype=mx.bfloat16)
    assert hidden.dtype == model._output(hidden).dtype == mx.bfloat16


@each_switch
def test_gradients_are_float32_and_close(changes: dict[str, Any]) -> None:
    """Within a few percent of a whole gradient's length: bfloat16 rounds to one part in 256."""
    _, twin = twins(**changes)
    tokens = random_tokens(twin.config, 4, 6)
    ids, weights = mx.array(tokens, mx.int32), mx.full(tokens.shape, 1 / tokens.size)
    loss, grads = twin.differentiate(ids, ids, weights)
    low_loss, low_grads = twin.differentiate(ids, ids, weights, dtype=mx.bfloat16)
    assert low_loss.dtype == mx.float32
    assert low_loss.item() == pytest.approx(loss.item(), rel=0.02)
    error = total = 0.0
    for name, grad in flatten(grads).items():
        low = flatten(low_grads)[name]
        assert low.dtype == mx.float32, name
        error += float(mx.square(low - grad).sum())
        total += float(mx.square(grad).sum())
    assert 0 < error / total < 0.08**2


def test_a_frequent_token_gets_its_whole_gradient() -> None:
    """Added up in bfloat16, 2000 equal shares would stand still at 256 of them."""
    model = mlx_backend.GPT(small_config(n_layers=1, tie_embeddings=False))
    model.blocks.clear()
    tokens = mx.full((400, 5), 3, mx.int32)
    targets = mx.full((400, 5), 1, mx.int32)
    weights = mx.full(tokens.shape, 1.0)
    _, grads = model.differentiate(tokens, targets, weights)
    _, low = model.differentiate(tokens, targets, weights, dtype=mx.bfloat16)
    expected = np.asarray(grads["token_embedding"]["weight"][3])
    found = np.asarray(low["token_embedding"]["weight"][3])
    assert np.linalg.norm(found - expected) < 0.05 * np.linalg.norm(expected)


@each_family
def test_what_lasts_is_float32_and_the_loss_falls_as_far(family: dict[str, Any]) -> None:
    """30 steps on one batch: the losses end within 2 % of each other's way down."""
    ends = {}
    for dtype in ("float32", "bfloat16"):
        _, twin = twins(**{**family, "n_layers": 2})
        step = mlx_backend.TrainStep(
            twin, mlx_backend.AdamW(twin, weight_decay=0.0), dtype=dtype, micro_batch=2
        )
        tokens = random_tokens(twin.config, 4, 7)
        batch = Batch(tokens[:, :-1], tokens[:, 1:])
        ends[dtype] = [step([batch], 5e-3).loss for _ in range(30)]
        assert {array.dtype for array in arrays_of(step).values()} == {mx.float32}
    fall = ends["float32"][0] - ends["float32"][-1]
    assert fall > 0.5
    assert ends["bfloat16"] != ends["float32"]
    assert ends["bfloat16"][-1] == pytest.approx(ends["float32"][-1], abs=0.02 * fall)


def test_evaluation_is_float32() -> None:
    _, twin = twins()
    batch = Batch(random_tokens(twin.config, 3, 6), random_tokens(twin.config, 3, 6, seed=1))
    losses = [
        mlx_backend.TrainStep(twin, mlx_backend.SGD(twin), dtype=dtype).evaluate(batch)
        for dtype in ("float32", "bfloat16")
    ]
    assert losses[0] == losses[1]


def test_numpy_says_that_it_has_no_bfloat16(tmp_path: Path) -> None:
    model = numpy_backend.GPT(small_config())
    with pytest.raises(ConfigError, match=r"'bfloat16', which NumPy.*--backend mlx"):
        numpy_backend.TrainStep(model, numpy_backend.SGD(model), dtype="bfloat16")
    settings = PretrainSettings(
        data=DataConfig(), train=TrainConfig(dtype="bfloat16"), backend="numpy"
    )
    with pytest.raises(ConfigError, match="--backend mlx"):
        start_run(settings, RunFolder(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_a_device_without_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arrays: Any) -> None:
        raise RuntimeError("[matmul] no bfloat16\nhere")

    monkeypatch.setattr(precision.mx, "eval", refuse)
    with pytest.raises(ConfigError, match=r"'bfloat16', which .* lacks .*; use float32") as told:
        mlx_backend.check_dtype("bfloat16")
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("nn", [numpy_backend, mlx_backend], ids=["numpy", "mlx"])
def test_unknown_types_are_refused(nn: Any) -> None:
    nn.check_dtype("float32")
    with pytest.raises(ConfigError, match="'float16'"):
        nn.check_dtype("float16")
    with pytest.raises(ConfigError, match="dtype is 'float16'; choose one of float32, bfloat16"):
        TrainConfig(dtype="float16")  # type: ignore[arg-type]
