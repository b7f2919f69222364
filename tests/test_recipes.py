"""How each size is trained by default, how a model is known by its size, and how fast it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import assert_one_line, command_runner

from llm_explainer import load_backend, save_checkpoint
from llm_explainer.commands import pretrain as command
from llm_explainer.config import SIZES, ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training import step_timer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.pretrain import PretrainSettings
from llm_explainer.training.recipes import DEFAULTS, RECIPES, nearest_size, recipe
from llm_explainer.training.runs.comparison import size_name
from llm_explainer.training.step_timer import measure_speed


def test_every_size_has_a_recipe() -> None:
    for size in SIZES:
        train = recipe(size)
        last = train.steps - train.steps % train.eval_every or train.steps
        assert train.steps // train.eval_every in (7, 8)
        assert last <= train.steps
    for steps in range(1, 30):
        train = recipe("tiny", steps=steps, seed=3)
        assert (train.steps, train.seed) == (steps, 3)
        assert train.warmup_steps < steps
    assert [recipe("tiny", steps=n).warmup_steps for n in (40, 900, 5000)] == [4, 90, 100]
    with pytest.raises(ConfigError, match="'huge'"):
        recipe("huge")


def test_a_size_is_known_by_its_shape() -> None:
    for size in SIZES:
        config = ModelConfig.preset(size, family="llama", vocab_size=300, context_length=16)
        assert size_name(config) == ("large" if size == "50m" else size)
    assert size_name(ModelConfig.preset("tiny", n_layers=3)) == "custom"


@pytest.mark.parametrize(("slow", "expected"), [(0.01, [1, 4, 4, 4, 4]), (5.0, [1])])
def test_speed(slow: float, expected: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A second of batches of four windows, or a single window where that alone takes as long."""
    config, windows, now = ModelConfig.preset("tiny", vocab_size=300), [], [0.0]

    def step(batches: Any, learning_rate: float) -> None:
        windows.append(len(batches[0][0]))
        now[0] += slow if len(windows) == 1 else 0.4

    monkeypatch.setattr(step_timer, "make_train_step", lambda nn, model, train: step)
    monkeypatch.setattr(step_timer.time, "perf_counter", lambda: now[0])
    measured = measure_speed(load_backend("numpy"), ModelSpec(config), recipe("tiny"), seconds=1.0)
    assert windows == expected
    assert measured == pytest.approx(4 * 64 / 0.4 if len(expected) > 1 else 64 / 5.0)


# What the command makes of it


@pytest.fixture
def planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., PretrainSettings]:
    """Return what ``train_pretrain.py`` would train with some options."""
    plans: list[PretrainSettings] = []

    def note(plan: PretrainSettings, *args: Any, **kwargs: Any) -> None:
        plans.append(plan)
        raise ConfigError("it would start now")

    monkeypatch.setattr(command, "start_run", note)
    call = command_runner(tmp_path, monkeypatch, capsys)

    def plan(*options: str) -> PretrainSettings:
        assert_one_line(call(command.pretrain, *options), "would start")
        return plans[-1]

    return plan


@pytest.mark.parametrize("size", SIZES)
def test_pretraining_goes_by_the_recipe_of_the_size(
    size: str, planned: Callable[..., PretrainSettings]
) -> None:
    plan = planned(f"--size={size}")
    usual = RECIPES[size]
    assert plan.size == size
    assert plan.train == recipe(size)
    assert plan.train.batch_size == usual.batch_size
    assert plan.train.steps == usual.steps
    assert plan.train.learning_rate == usual.learning_rate
    assert plan.train.lowest_learning_rate == usual.learning_rate / 10


def test_what_was_typed_wins(planned: Callable[..., PretrainSettings]) -> None:
    typed = {"steps": 24, "batch_size": 3, "learning_rate": 0.5, "eval_every": 0, "warmup_steps": 7}
    plan = planned("--size=large", *(f"--{n.replace('_', '-')}={v}" for n, v in typed.items()))
    assert plan.train == TrainConfig(
        **typed, sample_every=6, checkpoint_every=12, min_learning_rate=0.05
    )
    assert planned("--size=tiny", "--steps=24").train == recipe("tiny", steps=24)


def test_from_goes_by_the_nearest_size(
    tmp_path: Path, planned: Callable[..., PretrainSettings]
) -> None:
    for size in SIZES:
        for family in ("gpt2", "llama"):
            assert nearest_size(ModelConfig.preset(size, family=family)) == size
    small = {"n_layers": 3, "context_length": 64, "vocab_size": 1280}
    assert nearest_size(ModelConfig.preset("small", **small)) == "small"
    config = ModelConfig.preset("tiny", vocab_size=70, context_length=16)
    save_checkpoint(tmp_path / "model", load_backend("numpy").GPT(config), None)
    assert planned("--from=model").train == recipe("tiny")
    assert planned("--from=model", "--batch-size=2").train == recipe("tiny", batch_size=2)


def test_help_says_where_defaults_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of all that a recipe sets; the rest is what ``TrainConfig`` has."""
    plain = TrainConfig().to_dict()
    changed = {
        name
        for size in SIZES
        for name, value in recipe(size).to_dict().items()
        if value != plain[name]
    }
    assert changed - {"min_learning_rate"} == DEFAULTS.keys()
    call = command_runner(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("COLUMNS", "300")
    code, output, _ = call(command.pretrain, "--help")
    assert code == 0
    for field, words in DEFAULTS.items():
        entry = output.partition(f"│ --{field.replace('_', '-')} ")[2].partition("│ --")[0]
        assert f"[default: ({words})]" in entry
    rates = [usual.learning_rate for usual in RECIPES.values()]
    assert DEFAULTS["learning_rate"] == f"by size: {min(rates)} to {max(rates)}"
