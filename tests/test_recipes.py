"""How each size is trained by default, how a model is known by its size, and how fast it is."""

from __future__ import annotations

from typing import Any

import pytest

from llm_explainer import load_backend
from llm_explainer.config import SIZES, ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training import step_timer
from llm_explainer.training.recipes import recipe
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
