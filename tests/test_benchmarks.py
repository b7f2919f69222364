"""The benchmarks at a miniature scale: they run, and what they compare does the same work."""

from __future__ import annotations

import importlib
import json
import random
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from served_model import make_model, serving

from benchmarks import __main__ as all_benchmarks
from benchmarks import ladder, scaling, soak, speedrun, speedrun_ours, speedrun_task, train
from benchmarks.service_client import ask
from benchmarks.soak_requests import KINDS, WRONG, some_request

TEXT = "First Citizen:\nBefore we proceed any further, hear me speak.\n\nAll:\nSpeak, speak.\n" * 60


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    return path


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_all_rungs_of_the_ladder_have_the_same_gradients(threads: int) -> None:
    arrays = ladder.inputs(5)
    precise = ladder.matrices(*(array.astype(np.float64) for array in arrays))
    for name, rung, _ in ladder.rungs(threads):
        for found, expected in zip(rung(*arrays), precise, strict=True):
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4, err_msg=name)


def test_the_ladders_gradients_are_the_librarys() -> None:
    """The textbook's formulas, beside the layer that the gradient checks prove."""
    from llm_explainer import ModelConfig
    from llm_explainer.numpy_backend import FeedForward

    config = ModelConfig.preset("small", bias=False)
    x, dy, up, down = (array.astype(np.float64) for array in ladder.inputs(5))
    layer = FeedForward(config, init=lambda shape, scale: np.zeros(shape)).astype(np.float64)
    layer.replace({"up_proj": {"weight": up}, "down_proj": {"weight": down}})
    y, backward = layer.forward(x)
    dx, grads = backward(dy)
    weights = (grads[name]["weight"] for name in ("up_proj", "down_proj"))
    for found, expected in zip(ladder.matrices(x, dy, up, down), (y, dx, *weights), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_ladder_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ladder, "inputs", lambda n_rows: small_inputs(2))
    ladder.main(["--seconds", "0.01", "--threads", "2", "--json", str(tmp_path / "l.json")])
    figures = json.loads((tmp_path / "l.json").read_text())
    assert [f["rung"] for f in figures][::4] == ["Python loops", "in 2 threads"]
    assert "NumPy, all tokens at once" in capsys.readouterr().out


def small_inputs(n_rows: int) -> Any:
    rng = np.random.default_rng(0)
    shapes = (n_rows, 3), (n_rows, 3), (4, 3), (3, 4)
    return tuple(rng.standard_normal(shape, np.float32) for shape in shapes)


def test_scaling_measures_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = {"size": "tiny", "context_length": 16}
    series = {
        "batch": ("windows", [(n, {**tiny, "batch": n}) for n in (1, 2)]),
        "generation": ("tokens in the cache", [(n, {**tiny, "cached": n}) for n in (4, 8)]),
    }
    monkeypatch.setattr(scaling, "SERIES", series)
    monkeypatch.setattr(scaling, "measure_apart", lambda point, seconds: measured_here(point))
    files = tmp_path / "s.json", tmp_path / "s.png"
    names = ["--series", "batch", "generation"]
    scaling.main([*names, "--json", str(files[0]), "--picture", str(files[1])])
    figures = json.loads(files[0].read_text())
    one, two = figures["batch"]
    assert two["theory_work"] == 2 * one["theory_work"]
    assert min(one["seconds"], two["seconds"], two["bytes"] + 1) > 0
    assert files[1].read_bytes().startswith(b"\x89PNG")
    assert "theory: a unit of work costs" in capsys.readouterr().out


def measured_here(point: scaling.Point) -> tuple[float, float]:
    return scaling.measure_time(point, 0.001), scaling.measure_memory(point)


def test_cost_is_that_of_a_unit_of_work() -> None:
    figures = [
        {"seconds": 3.0, "theory_work": 10.0},
        {"seconds": 2.0, "theory_work": 20.0},
        {"seconds": 6.0, "theory_work": 40.0},
    ]
    assert scaling.relative_cost(figures) == pytest.approx(1.5)


def test_theory_of_a_token_is_two_operations_a_weight_and_attention() -> None:
    config = scaling.config_of({"cached": 100})
    flops, n_bytes = scaling.theory({"cached": 100})
    positions = config.context_length * config.d_model
    weights = config.count_parameters() - positions
    assert flops == pytest.approx(2 * weights + 4 * config.n_layers * config.d_model * 100)
    cache = 2 * config.n_layers * config.d_model * 100
    assert n_bytes == 4 * (config.count_parameters() + cache)


def test_the_speedrun_splits_and_measures_as_nanogpt_does(corpus: Path) -> None:
    train, validation, vocab_size = speedrun_task.load(corpus)
    assert len(train) == int(0.9 * len(TEXT))
    assert len(train) + len(validation) == len(TEXT)
    assert vocab_size == len(set(TEXT))
    sizes = []

    def loss(inputs: Any, targets: Any) -> float:
        np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
        sizes.append(inputs.shape)
        return float(len(sizes))

    assert speedrun_task.estimate_loss(loss, validation, step=1) == 10.5
    assert sizes == [(12, 64)] * 20
    assert speedrun_task.whole_loss(lambda inputs, targets: 2.5, validation) == 2.5


def test_speedrun_of_ours(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {**speedrun_ours.RECIPE, "steps": 60, "batch_size": 2, "warmup_steps": 5}
    shape = {**speedrun_ours.SHAPE, "d_model": 16, "n_layers": 1}
    monkeypatch.setattr(speedrun_ours, "RECIPE", recipe)
    monkeypatch.setattr(speedrun_ours, "SHAPE", shape)
    monkeypatch.setattr(sys, "argv", ["speedrun_ours", str(corpus), "0"])
    speedrun_ours.main()
    *evaluations, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert [e["step"] for e in evaluations] == [50, 60]
    assert evaluations[0]["seconds"] < evaluations[1]["seconds"]
    assert last["whole"] == pytest.approx(evaluations[-1]["loss"], abs=0.1)


def test_speedrun_stops_the_clock_at_the_first_evaluation_that_is_low_enough(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(speedrun.CONTESTANTS, "fast", "tests.runner_of_a_speedrun")
    lines = [
        {"step": 50, "seconds": 1.0, "loss": 2.0},
        {"step": 100, "seconds": 2.0, "loss": 1.88},
        {"step": 150, "seconds": 3.0, "loss": 1.7},
        {"whole": 1.75},
    ]
    output = "".join(json.dumps(line) + "\n" for line in lines)
    done = speedrun.subprocess.CompletedProcess([], 0, stdout=output)
    monkeypatch.setattr(speedrun.subprocess, "run", lambda *args, **kwargs: done)
    run = speedrun.run("fast", corpus, seed=0)
    assert (run.step, run.seconds, run.final_loss, run.whole_loss) == (100, 2.0, 1.7, 1.75)
    assert run.reached
    done.stdout = json.dumps(lines[0]) + "\n" + json.dumps(lines[3])
    run = speedrun.run("fast", corpus, seed=0)
    assert (run.step, run.reached) == (50, False)


@pytest.mark.parametrize("name", all_benchmarks.BENCHMARKS)
def test_every_benchmark_is_listed_as_it_is(name: str) -> None:
    benchmark = all_benchmarks.BENCHMARKS[name]
    if any(importlib.util.find_spec(package) is None for package in benchmark.needs):
        pytest.skip("needs a package that is not here")
    module = importlib.import_module(f"benchmarks.{name}")
    source = Path(module.__file__ or "").read_text()
    assert callable(module.main)
    assert not benchmark.json or '"--json"' in source
    assert not benchmark.picture or '"--picture"' in source
    assert not benchmark.corpus or re.search(r'add_argument\("(corpus|text)"', source)
    assert all(f'"{flag}"' in source for flag in benchmark.arguments if flag.startswith("--"))


def test_listing_and_unknown_names(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert all_benchmarks.main([]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in all_benchmarks.BENCHMARKS)
    with pytest.raises(SystemExit, match="2"):
        all_benchmarks.main(["nosuch", "--out", str(tmp_path / "out")])
    assert "unknown benchmark 'nosuch'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_running_some(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    commands: list[list[str]] = []
    monkeypatch.setattr(all_benchmarks.subprocess, "call", lambda c: commands.append(c) or 1)
    assert all_benchmarks.main(["scaling", "speedrun", "--out", str(tmp_path / "out")]) == 1
    (command,) = commands
    assert command[1:3] == ["-m", "benchmarks.scaling"]
    assert command[-1] == str(tmp_path / "out" / "scaling.png")
    assert "speedrun: skipped, needs --corpus TEXT" in capfd.readouterr().out


def test_ours_takes_part_in_another_python_too(tmp_path: Path, monkeypatch: Any) -> None:
    """The other Python here is a script that notes what it was told, and becomes this one."""
    other, noted = tmp_path / "python", tmp_path / "noted"
    other.write_text(f'#!/bin/sh\necho $MKL_NUM_THREADS > {noted}\nexec {sys.executable} "$@"\n')
    other.chmod(0o755)
    arguments = ["--sizes", "quick", "--seconds", "2", "--contended", "--other-numpy", str(other)]
    figures = tmp_path / "figures.json"
    monkeypatch.setattr(sys, "argv", ["train", *arguments, "--json", str(figures)])
    train.main()
    assert noted.read_text() == "1\n"
    rows = {row["contestant"]: row for row in json.loads(figures.read_text())}
    assert rows[train.OTHER]["steps"] > 0


def test_a_soak_asks_what_it_says() -> None:
    """Each kind is answered as the soak expects it, and a stream's events are timed."""
    rng, seen = random.Random(0), set()
    with serving({"tiny": make_model(), "other": make_model(seed=1)}) as service:
        while seen != KINDS.keys():
            wanted = some_request(rng, ["tiny", "other"])
            heard = ask(service.url, wanted.path, wanted.body)
            assert (heard.status == 200) == (wanted.kind != WRONG), wanted
            assert heard.status < 500
            is_stream = "data: [DONE]" in heard.text
            assert bool(heard.seconds) <= is_stream
            assert heard.seconds == sorted(heard.seconds)
            seen.add(wanted.kind)
        assert ask(service.url, "/v1/completions", {}, leave_after=0.0).status == 0


def test_a_soak_compares_quarters() -> None:
    assert soak.quarters([1.0, 2, 3, 3, 5, 5, 4, 4]) == [1.5, 3, 5, 4]
    assert soak.drift([50.0] * 10 + [90.0] * 10 + [100.0] * 20) == 0
    assert soak.drift([float(i) for i in range(1, 41)]) == pytest.approx(35.5 / 25.5 - 1)
