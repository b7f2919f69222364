"""What a run will take, known before it starts: memory, micro-batch, time, and a refusal."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlx_twins import mlx_backend, mx
from small_models import FAMILIES, random_tokens, small_config

from llm_explainer import machine, numpy_backend
from llm_explainer.batch import Batch
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training import preflight as module
from llm_explainer.training import step_timer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.preflight import Preflight, preflight
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.run import resume_run, start_run
from llm_explainer.training.step_timer import measure_step
from llm_explainer.training.train_step import make_train_step
from llm_explainer.tree import flatten

BACKENDS = [numpy_backend, mlx_backend]
each_backend = pytest.mark.parametrize("nn", BACKENDS, ids=["numpy", "mlx"])
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
TRAIN = TrainConfig(steps=10, batch_size=16, workers=1, eval_windows=8)


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure nothing."""
    monkeypatch.setattr(module, "measure_step", lambda *arguments: 1.0)


def limited(nn: Any, n_windows: int, **changes: Any) -> TrainConfig:
    """Return a config whose memory limit is just enough for ``n_windows`` at a time."""
    changes = {"workers": 1, **changes}
    kind = {"dtype": changes.get("dtype", "float32"), "recompute": changes.get("recompute", False)}
    needed = nn.training_bytes(ModelSpec(small_config()), n_windows, 1, **kind)
    return dataclasses.replace(TRAIN, memory_limit_gb=(needed + 10) / 1e9, **changes)


# How many windows at a time


@each_backend
@given(batch_size=st.integers(1, 40), fitting=st.integers(1, 50))
@settings(max_examples=30, deadline=None)
def test_parts_are_as_large_as_fit_and_alike(nn: Any, batch_size: int, fitting: int) -> None:
    train = limited(nn, fitting, batch_size=batch_size)
    limit = nn.claim_memory(train.memory_limit_gb)
    size = module._fitting_windows(nn, ModelSpec(small_config()), train, batch_size, limit)
    n_parts = math.ceil(batch_size / size)
    assert size <= fitting
    assert n_parts == math.ceil(batch_size / min(fitting, batch_size))  # no more than it takes
    assert n_parts * size - batch_size < n_parts  # parts differ by what rounding leaves


@pytest.mark.usefixtures("instant")
@each_backend
def test_what_fits_stays_whole(nn: Any) -> None:
    forecast = preflight(nn, ModelSpec(small_config()), TRAIN)
    assert (forecast.micro_batch, forecast.batch_size) == (16, 16)
    assert forecast.memory_bytes == nn.training_bytes(ModelSpec(small_config()), 16, 1)
    frozen = ModelSpec(small_config(), ("token_embedding.weight",), 56)
    assert preflight(nn, frozen, TRAIN).memory_bytes == nn.training_bytes(frozen, 16, 1)
    assert nn.training_bytes(frozen, 16, 1) < forecast.memory_bytes
    assert "parts" not in forecast.summary()
    assert 1e8 < forecast.limit_bytes <= 2 * machine.available_memory() + 1e9


@pytest.mark.usefixtures("instant")
@each_backend
def test_processes_share_a_batch(nn: Any) -> None:
    forecast = preflight(nn, ModelSpec(small_config()), limited(nn, 3), n_processes=3)
    assert (forecast.batch_size, forecast.micro_batch) == (6, 3)
    assert forecast.summary().endswith("; batches of 6 windows in parts of 3, to fit")


@pytest.mark.usefixtures("instant")
@each_backend
def test_what_does_not_fit_is_refused_with_advice(nn: Any) -> None:
    config = small_config(n_layers=30)
    one = nn.training_bytes(ModelSpec(config), 1, 1)
    recomputing = nn.training_bytes(ModelSpec(config), 1, 1, recompute=True)
    assert recomputing < one

    def refusal(n_bytes: float, **changes: Any) -> str:
        train = dataclasses.replace(TRAIN, memory_limit_gb=n_bytes / 1e9, **changes)
        with pytest.raises(ConfigError) as told:
            preflight(nn, ModelSpec(config), train)
        assert "\n" not in str(told.value)
        return str(told.value)

    assert "on one window at a time takes" in refusal(one - 10)
    assert "; --recompute would take about" in refusal(one - 10)
    assert refusal(one / 10).endswith("use a smaller --size or a shorter --context-length")
    two = nn.training_bytes(ModelSpec(config), 2, 1)
    assert refusal(two - 10, micro_batch=3).endswith("or use --micro-batch 1")
    assert "; --recompute" in refusal(one - 10, micro_batch=3)


# How long


@pytest.mark.usefixtures("instant")
def test_time_counts_what_is_still_to_do() -> None:
    """A part takes a second here, an evaluated window a third of a trained one."""
    train = dataclasses.replace(TRAIN, accumulate=3, eval_every=2)
    forecast = preflight(numpy_backend, ModelSpec(small_config()), train, first_step=4)
    trained, evaluated = 6 * 3 * 16, (1 + 3) * 8
    assert forecast.seconds == pytest.approx((trained + evaluated / 3) / 16)
    assert forecast.tokens_per_s == 16 * 6


def test_a_long_step_is_a_line_through_shorter_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model so slow that whole steps are not tried; 2 s an update and a millisecond a token."""
    tried: list[tuple[int, int]] = []

    def time_step(step: Any, tokens: Any) -> float:
        tried.append(tokens.shape)
        return 2 + 0.001 * tokens.size

    monkeypatch.setattr(step_timer, "_quickest", time_step)
    monkeypatch.setattr(step_timer, "FIRST_FLOPS", 0.0)
    config = small_config(context_length=48)
    assert measure_step(numpy_backend, ModelSpec(config), TRAIN, 20) == pytest.approx(2 + 0.96)
    assert tried == [(1, 48), (2, 48)]
    monkeypatch.setattr(step_timer, "ENOUGH_S", 9.0)
    assert measure_step(numpy_backend, ModelSpec(config), TRAIN, 20) == pytest.approx(2 + 0.96)
    assert tried[-1] == (20, 48)


def test_the_first_steps_are_slow_and_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory comes with the first of them: 80, 50 and 50 ms, and 25 from then on."""
    seconds, clock = [0.08, 0.05, 0.05] + [0.025] * 9, [0.0]

    def step(*arguments: Any) -> None:
        clock[0] += seconds.pop(0)

    monkeypatch.setattr(step_timer.time, "perf_counter", lambda: clock[0])
    tokens = np.zeros((2, 3), np.int64)
    assert step_timer._quickest(step, tokens) == pytest.approx(0.025)
    assert len(seconds) == 8
    seconds[:] = [9.0, 9.0]
    assert step_timer._quickest(step, tokens) == pytest.approx(9.0)
    assert len(seconds) == 1  # a long step is timed once
    seconds[:] = [0.5, 0.3, 0.2]
    assert step_timer._quickest(step, tokens) == pytest.approx(0.3)
    assert len(seconds) == 1  # any other twice at least


@each_backend
def test_a_step_is_really_timed(nn: Any) -> None:
    assert 0 < measure_step(nn, ModelSpec(small_config()), TRAIN, 4) < 60


@pytest.mark.parametrize(
    ("n_bytes", "seconds", "expected"),
    [
        (4e7, 40, "memory: about 0.04 GB of 23 GB; time: about 40 s"),
        (3.66e8, 140, "memory: about 0.4 GB of 23 GB; time: about 2 min"),
        (2.34e9, 9000, "memory: about 2.3 GB of 23 GB; time: about 2.5 h"),
        (1.2e10, 1e6, "memory: about 12 GB of 23 GB; time: about 12 days"),
    ],
)
def test_summary(n_bytes: float, seconds: float, expected: str) -> None:
    assert Preflight(16, 16, int(n_bytes), int(2.3e10), seconds, 1.0).summary() == expected


# In a step and in a run


@each_backend
@pytest.mark.parametrize("micro_batch", [1, 3, 5])
def test_a_step_in_parts_is_the_same_step(nn: Any, micro_batch: int) -> None:
    ends = []
    for size in (0, micro_batch):
        model = nn.GPT(small_config())
        step = nn.TrainStep(model, nn.SGD(model), workers=2, micro_batch=size)
        tokens, mask = random_tokens(model.config, 5, 6), np.tri(5, 6) > 0
        result = step([Batch(tokens, tokens, mask), Batch(tokens[:2], tokens[:2])], 0.5)
        ends.append((result.loss, result.grad_norm, *step.evaluate(Batch(tokens, tokens, mask))))
        ends.append(flatten(model.parameters()))
    assert ends[2] == pytest.approx(ends[0], rel=1e-5)
    for name, array in ends[1].items():
        np.testing.assert_allclose(np.asarray(ends[3][name]), np.asarray(array), atol=1e-6)


@each_backend
def test_every_setting_reaches_the_step(nn: Any) -> None:
    model = nn.GPT(small_config())
    train = dataclasses.replace(TRAIN, micro_batch=3, recompute=True)
    step = make_train_step(nn, model, train)
    assert (step.micro_batch, step.recompute, step.n_workers) == (3, True, 1)
    if nn is mlx_backend:
        train = dataclasses.replace(TRAIN, dtype="bfloat16")
        assert make_train_step(nn, model, train).dtype == "bfloat16"


def small_run(tmp_path: Path, nn: Any, n_windows: int) -> PretrainSettings:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    shape = {"context_length": 16, "d_model": 16}
    settings = PretrainSettings(
        data=DataConfig(corpus=str(corpus), tokenizer="char"),
        train=TrainConfig(
            steps=6, batch_size=6, workers=1, sample_every=0, eval_every=0, eval_windows=4
        ),
        size="tiny",
        model=shape,
        backend=nn.__name__.rpartition(".")[2].removesuffix("_backend"),
    )
    whole = start_run(settings, RunFolder(tmp_path / "whole"))
    needed = nn.training_bytes(ModelSpec.of(whole.trainer.model), n_windows, 1)
    limit = (needed + 10) / 1e9
    return dataclasses.replace(
        settings, train=dataclasses.replace(settings.train, memory_limit_gb=limit)
    )


@each_backend
def test_the_choice_is_recorded_and_resumed(nn: Any, tmp_path: Path) -> None:
    settings = small_run(tmp_path, nn, 2)
    whole, stopped = (start_run(settings, RunFolder(tmp_path / name)) for name in ("a", "b"))
    assert whole.preflight.micro_batch == 2
    record = json.loads((tmp_path / "b" / "run.json").read_bytes())
    assert record["train"]["micro_batch"] == 2
    whole.trainer.train()
    stopped.trainer.observers = [
        lambda event: stopped.trainer.request_stop() if event.step == 3 else None
    ]
    stopped.trainer.train()
    resumed = resume_run(RunFolder(tmp_path / "b"))
    assert resumed.trainer.config.micro_batch == 2
    assert resumed.preflight.seconds > 0
    resumed.trainer.train()
    for name in ("model.safetensors", "optimizer.safetensors"):
        ends = [(tmp_path / run / "last" / name).read_bytes() for run in ("a", "b")]
        assert ends[0] == ends[1]


def test_a_run_that_does_not_fit_leaves_nothing(tmp_path: Path) -> None:
    settings = small_run(tmp_path, numpy_backend, 1)
    train = dataclasses.replace(settings.train, memory_limit_gb=1e-6)
    with pytest.raises(ConfigError, match="one window at a time"):
        start_run(dataclasses.replace(settings, train=train), RunFolder(tmp_path / "refused"))
    assert not (tmp_path / "refused").exists()


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, "4", True])
def test_limits_that_are_none(value: Any) -> None:
    with pytest.raises(ConfigError, match="memory_limit_gb is"):
        TrainConfig(memory_limit_gb=value)


def test_settings_that_cannot_be() -> None:
    with pytest.raises(ConfigError, match="micro_batch 9 is more than batch_size 8"):
        TrainConfig(batch_size=8, micro_batch=9)
    with pytest.raises(ConfigError, match="recompute is 'yes'"):
        TrainConfig(recompute="yes")  # type: ignore[arg-type]


# What there is


def test_mlx_is_told_its_limit() -> None:
    before = mx.get_memory_limit()
    try:
        assert mlx_backend.claim_memory(0.5) == 500_000_000 == mx.get_memory_limit()
        assert mlx_backend.claim_memory() > 0
    finally:
        mx.set_memory_limit(before)
