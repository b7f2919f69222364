"""The profile: every moment credited once, every product counted, nothing changed by looking."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import FAMILIES, random_tokens, small_config

from llm_explainer.batch import Batch
from llm_explainer.commands.profile import profile
from llm_explainer.config import ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.numpy_backend import GPT, AdamW, TrainStep
from llm_explainer.profiling import (
    KINDS,
    LAYERS,
    PYTHON,
    Clock,
    Profile,
    TimedArray,
    clock,
    draw_profile,
    profile_step,
    step,
    timed_arrays,
    watch_step,
)

THREADS, BATCH = 2, 4


@pytest.fixture
def ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every look at the clock take one second."""
    seconds = iter(range(10_000))
    monkeypatch.setattr(clock.time, "perf_counter", lambda: float(next(seconds)))


@pytest.mark.usefixtures("ticks")
def test_nested_labels_share_out_the_time() -> None:
    watch = Clock()
    inner = watch.watched(lambda: None, "inner")
    outer = watch.watched(lambda: inner(), "outer")
    with watch.running() as counts:
        outer()
        inner()
    # Looks at the clock: outer in, inner in, inner out, outer out, inner in, inner out, the end.
    assert counts.seconds == {clock.OTHER: 3, "outer": 2, "inner": 2}
    assert counts.total == 7


@pytest.mark.usefixtures("ticks")
def test_the_backward_pass_is_watched_too_and_errors_end_a_label() -> None:
    watch = Clock()

    def fails() -> None:
        raise ValueError("broken")

    forward = watch.watched(lambda: ("y", lambda: "dx"), "layer")
    with watch.running() as counts:
        y, backward = forward()
        assert (y, backward()) == ("y", "dx")
        with pytest.raises(ValueError, match="broken"):
            watch.watched(fails, "failing")()
        assert watch.label == clock.OTHER
    assert counts.seconds["layer"] == 2
    assert counts.seconds["failing"] == 1


def watched_step(config: ModelConfig) -> tuple[TrainStep, Clock]:
    watch = Clock()
    with timed_arrays(watch):
        model = GPT(config)
        train_step = TrainStep(model, AdamW(model), threads=THREADS)
    watch_step(train_step, watch)
    return train_step, watch


@pytest.mark.parametrize("family", FAMILIES)
def test_looking_changes_nothing(family: str) -> None:
    config = small_config(**{**FAMILIES[family], "n_layers": 2})
    model = GPT(config)
    plain = TrainStep(model, AdamW(model), threads=THREADS)
    watched, watch = watched_step(config)
    batch = Batch(random_tokens(config, BATCH, 6), random_tokens(config, BATCH, 6, seed=1))
    for _ in range(3):
        with timed_arrays(watch):
            seen = watched([batch], 1e-2)
        assert seen == plain([batch], 1e-2)
    np.testing.assert_array_equal(watched.optimizer.flat.values, plain.optimizer.flat.values)


def test_every_product_is_counted() -> None:
    """Forward, and backward for inputs and weights: 6 operations a weight and token (PaLM, B)."""
    config = ModelConfig.preset("tiny", family="llama", n_layers=3, n_kv_heads=1)
    train_step, watch = watched_step(config)
    tokens = random_tokens(config, BATCH, config.context_length)
    with timed_arrays(watch), watch.running() as counts:
        train_step([Batch(tokens, tokens)], 1e-3)
    flops = {layer: counts.kernels[layer, "matrix products"].flops for layer in LAYERS}
    n_tokens, width, layers = tokens.size, config.d_model, config.n_layers
    n_linear = layers * (2 * width * width + 2 * width * config.head_dim)
    assert flops[step.LINEAR] == 6 * n_tokens * n_linear
    assert flops[step.FEED_FORWARD] == 6 * n_tokens * layers * 3 * width * config.d_ff
    # The softmax's sums are a product with ones, and the loss one with the tokens' weights.
    head = n_tokens * (config.vocab_size * (6 * width + 2) + 2)
    assert flops[step.HEAD] == head
    # Scores, values, and two products for the gradients of each: at least these, whole or by bands.
    pairs = n_tokens * (config.context_length + 1) / 2
    assert flops[step.SCORES] > 12 * layers * width * pairs
    assert flops[step.OPTIMIZER] == flops[step.RESIDUAL] == 0
    assert counts.kernels[step.OPTIMIZER, "elementwise"].bytes > 40 * config.count_parameters()


def test_arrays_are_plain_again_afterwards() -> None:
    watch = Clock()

    def fails() -> None:
        with timed_arrays(watch):
            made.append(np.zeros(3))
            raise ValueError("broken")

    made: list[Any] = []
    with pytest.raises(ValueError, match="broken"):
        fails()
    (inside,) = made
    assert type(inside) is TimedArray
    assert type(np.zeros(3)) is type(np.empty(3)) is np.ndarray
    with watch.running() as counts:
        np.add(inside, 1)
    assert not counts.kernels


@pytest.mark.parametrize(
    ("work", "kind"),
    [
        (lambda x: x @ x, "matrix products"),
        (lambda x: np.dot(x[0], x[1]), "matrix products"),
        (lambda x: np.vecdot(x, x), "matrix products"),
        (lambda x: x + 1, "elementwise"),
        (lambda x: x.max(-1), "elementwise"),
        (lambda x: np.exp(x, out=x), "elementwise"),
        (lambda x: x[np.array([0, 1])], "moving data"),
        (lambda x: x.copy(), "moving data"),
        (lambda x: x.fill(0), "moving data"),
        (lambda x: x.__setitem__(0, x[1]), "moving data"),
        (lambda x: np.add.at(x, np.array([0]), x[1]), "moving data"),
    ],
)
def test_kinds(work: Any, kind: str) -> None:
    watch = Clock()
    with timed_arrays(watch):
        x = np.ones((4, 4))
        with watch.running() as counts:
            work(x)
    assert [key for key, tally in counts.kernels.items() if tally.bytes] == [(clock.OTHER, kind)]


def test_what_is_written_in_place_stays_timed() -> None:
    watch = Clock()
    with timed_arrays(watch):
        x = same = np.ones(3)
        x += 1
        assert x is same
        assert np.exp(x, out=x) is same


def test_python_is_what_numpy_leaves_of_a_layer() -> None:
    layers, kernels = clock.Counts(), clock.Counts()
    layers.seconds.update({step.NORMS: 5.0, step.HEAD: 4.0})
    kernels.kernels[step.NORMS, "elementwise"].add(2.0, 0.0, 8.0)
    kernels.kernels[step.NORMS, "moving data"].add(1.0, 0.0, 8.0)
    kernels.kernels[step.HEAD, "matrix products"].add(8.0, 10.0, 0.0)  # disturbed: above 4 seconds
    work, tallies = step._take_apart([layers], [kernels])
    assert list(work[step.NORMS].values()) == [0, 2, 1, 2]
    assert list(work[step.HEAD].values()) == [4, 0, 0, 0]
    assert tallies[step.HEAD]["matrix products"].flops == 10


@pytest.fixture(scope="module")
def small_profile() -> Profile:
    return profile_step(small_config(), batch_size=BATCH, threads=THREADS, seconds=0.01)


def test_the_sum_is_the_whole(small_profile: Profile) -> None:
    assert small_profile.work.keys() == set(LAYERS)
    for row in small_profile.work.values():
        assert row.keys() == {*KINDS, PYTHON}
        assert min(row.values()) > -1e-9
    by_kind = small_profile.by_kind()
    assert sum(by_kind.values()) == pytest.approx(small_profile.work_seconds)
    assert 0 < small_profile.mfu < 1
    assert small_profile.step_seconds > 0


def test_picture(small_profile: Profile, tmp_path: Path) -> None:
    draw_profile(small_profile, tmp_path / "bars.png", "a small model")
    assert [path.name for path in tmp_path.iterdir()] == ["bars.png"]
    assert (tmp_path / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    profile(size="tiny", family="llama", batch_size=2, threads=1, seconds=0.01, out=tmp_path / "p")
    shown = capsys.readouterr().out
    for words in (*LAYERS, "elementwise", "sgemm's peak (MFU)", "profile.png"):
        assert words in shown
    figures = json.loads((tmp_path / "p" / "profile.json").read_text())
    assert figures["config"]["d_model"] == 64
    assert figures["tokens_per_s"] == pytest.approx(2 * 64 / figures["step_seconds"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": "giant"}, "unknown model size 'giant'"),
        ({"family": "bert"}, "unknown family 'bert'"),
        ({"batch_size": 0}, "--batch-size is 0; it takes 1 or more"),
        ({"threads": -1}, "--threads is -1; it takes 0 or more"),
        ({"threads": 17}, "--threads is 17, but a batch of 16 windows keeps only 16 busy"),
        ({"seconds": float("nan")}, "--seconds is nan; it takes more than 0"),
    ],
)
def test_bad_input(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"size": "tiny", "family": "gpt2", "batch_size": 16, "threads": 0}
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        profile(**{**options, "seconds": 1.0, "out": tmp_path / "p", **changes})
    assert not (tmp_path / "p").exists()
