"""The command that pre-trains on MLX: runs, their comparison, and everything that goes wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Call, command_runner

from llm_explainer import backend, load_backend
from llm_explainer.commands import mac_accel_report, training
from llm_explainer.commands.generate import generate
from llm_explainer.commands.mac_accel import choose_backend, mac_accel
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.data import corpora
from llm_explainer.data.stories import stories_text
from llm_explainer.errors import BackendUnavailable, CorpusError
from llm_explainer.tokenizer import load_tokenizer
from llm_explainer.training import demonstration
from llm_explainer.training.runs import run as runs
from llm_explainer.training.runs.comparison import comparable, find_runs, read_run
from llm_explainer.training.runs.comparison_figure import draw_comparison
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.run import Run

RUNS = Path("runs/mac-accel")
PNG = b"\x89PNG"
QUICK = ["--corpus=tale.txt", "--steps=4", "--backend=numpy", "--size=tiny"]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run a command as the shell would, in a folder that holds a text."""
    call = command_runner(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(mac_accel_report, "SAMPLE_TOKENS", 5)
    monkeypatch.setattr(demonstration, "SAMPLE_TOKENS", 5)
    # Pictures take most of the time of so short a run; one test has them drawn.
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)
    monkeypatch.setattr(mac_accel_report, "draw_comparison", lambda *args: None)
    (tmp_path / "tale.txt").write_text("\n".join(stories_text(60_000)))
    return call


@pytest.fixture
def without_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine where mlx lacks its library."""
    real = backend.importlib.import_module

    def import_module(name: str) -> Any:
        if name == "mlx.core":
            raise ImportError("libmlx.so: cannot open shared object file")
        return real(name)

    monkeypatch.setattr(backend.importlib, "import_module", import_module)


def greedy(command: Call, path: Path, name: str) -> str:
    """Return what a saved model writes on a backend."""
    code, output, _ = command(
        generate, path, f"--backend={name}", "--prompt=One day", "--temperature=0", "--max-tokens=8"
    )
    assert code == 0
    return str(output)


# Runs


@pytest.mark.parametrize("name", ["numpy", "mlx"])
def test_a_run_answers_to_generate_on_both_backends(
    name: str, command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mac_accel_report, "draw_comparison", draw_comparison)
    monkeypatch.setattr(mac_accel_report, "measure_speed", lambda *args: 1234.5)
    if name == "mlx":
        pytest.importorskip("mlx.core", exc_type=ImportError)
    code, output, _ = command(
        mac_accel, *QUICK[:2], "--size=tiny", f"--backend={name}", "--data-size=30k"
    )
    assert code == 0, output
    path = RUNS / "tale-tiny-30k-llama"
    assert f"→ {path.name}" in output
    assert f"uv run run_demo.py generate {path}" in output
    assert "30,000 bytes to train on" in output
    assert ("NumPy, " in output and "1,234 tokens/s" in output) == (name == "mlx")
    assert (RUNS / "comparison.png").read_bytes().startswith(PNG)
    finished = read_run(RunFolder(path))
    assert finished is not None
    assert (finished.backend, finished.size, finished.steps) == (name, "tiny", 4)
    assert finished.train_bytes == 30_000
    assert finished.peak_memory > 0
    assert len(finished.curve) == 4
    pytest.importorskip("mlx.core", exc_type=ImportError)
    assert greedy(command, path, "numpy") == greedy(command, path, "mlx")


def test_earlier_runs_stay_and_are_compared(command: Call) -> None:
    assert command(mac_accel, *QUICK, "--data-size=5k")[0] == 0
    assert command(mac_accel, *QUICK, "--data-size=50k")[0] == 0
    assert command(mac_accel, *QUICK, "--data-size=5k", "--seed=1")[0] == 0
    found = {path.name for path in RUNS.iterdir() if path.is_dir()}
    assert found == {"tale-tiny-5k-llama", "tale-tiny-5k-llama-2", "tale-tiny-50k-llama"}
    first, again = RUNS / "tale-tiny-5k-llama", RUNS / "tale-tiny-5k-llama-2"
    settings = [json.loads((p / "run.json").read_text())["train"]["seed"] for p in (first, again)]
    assert settings == [0, 1]
    code, output, _ = command(mac_accel, *QUICK, "--data-size=5k", "--seed=2", "--overwrite")
    assert code == 0
    assert json.loads((first / "run.json").read_text())["train"]["seed"] == 2
    assert json.loads((again / "run.json").read_text())["train"]["seed"] == 1
    assert "beside 2 others" in output
    rows = [line for line in output.splitlines() if " M      4 " in line]
    assert len(rows) == 3
    losses = [float(row.split(" M ")[1].split()[1]) for row in rows]
    assert losses == sorted(losses)
    assert [row.lstrip().startswith("→") for row in rows].count(True) == 1


def test_another_corpus_is_not_compared(command: Call, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("\n".join(stories_text(50_000, seed=9)))
    assert command(mac_accel, *QUICK)[0] == 0
    code, output, _ = command(mac_accel, *QUICK, "--corpus=other.txt")
    assert code == 0
    assert "beside no others" in output
    assert "tale-tiny" not in output


def test_validation_text_stays_whole(command: Call) -> None:
    texts = []
    for size in ("0.2", "1"):
        options = (f"--data-size={size}", f"--out={size}", "--steps=1")
        assert command(mac_accel, *QUICK, *options)[0] == 0
        path = next(p for p in Path(size).iterdir() if p.is_dir())
        tokenizer = load_tokenizer(path / "last" / "tokenizer.json")
        splits = [np.load(path / "data" / f"{n}.npy").tolist() for n in ("train", "validation")]
        texts.append([tokenizer.decode(ids) for ids in splits])
    assert texts[0][1] == texts[1][1]
    assert texts[1][0].startswith(texts[0][0].removesuffix("<|endoftext|>"))
    assert len(texts[0][0]) == pytest.approx(0.2 * len(texts[1][0]), rel=0.01)


def test_stopped_then_resumed_on_the_other_backend(
    command: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trained on NumPy, resumed on MLX, and it writes on NumPy."""
    pytest.importorskip("mlx.core", exc_type=ImportError)
    right = training.TrainingView.__call__

    def stop_at_two(run: Run, console: Any) -> Any:
        def call(view: Any, event: Any) -> None:
            right(view, event)
            if event.step == 2:
                run.trainer.request_stop()

        with monkeypatch.context() as patch:
            patch.setattr(training.TrainingView, "__call__", call)
            return original(run, console)

    original = training.train_with_view
    monkeypatch.setattr(training, "train_with_view", stop_at_two)
    code, output, _ = command(mac_accel, *QUICK)
    path = next(p for p in RUNS.iterdir() if p.is_dir())
    assert code == 130
    assert f"train_pretrain.py --resume {path}" in output
    assert read_run(RunFolder(path)) is None  # not one to compare with yet
    code, output, _ = command(pretrain, f"--resume={path}", "--backend=mlx")
    assert code == 0, output
    assert "after step 2" in output
    finished = read_run(RunFolder(path))
    assert finished is not None
    assert finished.steps == 4
    assert greedy(command, path, "numpy") == greedy(command, path, "mlx")


def test_offline_it_trains_on_stories(command: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> Path:
        raise CorpusError("no network")

    monkeypatch.setattr(corpora.downloads, "download", unreachable)
    code, output, _ = command(mac_accel, "--steps=2", *QUICK[2:], "--data-size= 20K ")
    assert code == 0
    assert "neither cached nor reachable" in output
    assert (RUNS / "stories-tiny-20k-llama" / "run.json").exists()


# Backends


@pytest.mark.usefixtures("without_mlx")
def test_without_mlx_numpy_takes_its_place(command: Call) -> None:
    name, notice = choose_backend("auto")
    assert name == "numpy"
    assert "install 'mlx'" in notice
    code, output, error = command(mac_accel, "--backend=mlx", "--corpus=tale.txt")
    assert (code, output) == (2, "")
    assert "install 'mlx'" in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "needle"),
    [("metal", "Metal"), ("cuda", "No Metal GPU here"), ("cpu", "--backend numpy is faster")],
)
def test_it_says_what_it_runs_on(kind: str, needle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlx.core", exc_type=ImportError)
    nn = load_backend("mlx")
    monkeypatch.setattr(nn, "device_kind", lambda: kind)
    monkeypatch.setattr(nn, "device_name", lambda: "a device")
    name, notice = choose_backend("auto")
    assert name == "mlx"
    assert needle in notice
    assert "a device" in notice
    assert choose_backend("numpy")[0] == "numpy"
    with pytest.raises(BackendUnavailable, match="'torch'"):
        choose_backend("torch")


# Bad input


@pytest.mark.parametrize(
    ("options", "needle"),
    [
        *((["--data-size", size], repr(size)) for size in ("-1", "0", "abc", "nan", "inf", "-5k")),
        *((["--data-size", size], repr(size)) for size in ("2.0", "1e400", "", "0.0", "10^12")),
        (["--data-size=1000000000000"], "to train on"),
        (["--data-size=20"], "tokens"),
        (["--model-size=huge"], "'huge'"),
        (["--family=bert"], "'bert'"),
        (["--steps=0"], "steps is 0"),
        (["--steps=-3"], "steps is -3"),
        (["--dtype=float16"], "'float16'"),
        (["--dtype=bfloat16", "--backend=numpy"], "bfloat16"),
        (["--backend=abacus"], "'abacus'"),
        (["--corpus=nowhere.txt"], "nowhere.txt"),
        (["--memory-limit-gb=0.000001"], "memory"),
        (["--out=tale.txt"], "tale.txt"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_input_is_one_line(options: list[str], needle: str, command: Call) -> None:
    code, _, error = command(mac_accel, *QUICK, *options)
    assert code == 2
    lines = [line for line in error.splitlines() if line.strip()]
    assert len(lines) == 1, error
    assert lines[0].startswith("error: ")
    assert needle in lines[0]
    assert not list(Path().glob("runs/*/*"))


# Earlier runs


def test_what_is_no_finished_run_is_left_out(command: Call, tmp_path: Path) -> None:
    assert find_runs(tmp_path / "nowhere") == []
    assert command(mac_accel, *QUICK)[0] == 0
    (good,) = find_runs(RUNS)
    text = {name: (good.path / name).read_text() for name in ("run.json", "log.jsonl")}
    record = json.loads(text["run.json"])
    damages: list[tuple[str, str]] = [
        ("run.json", "{"),
        ("run.json", "[]"),
        ("run.json", json.dumps({**record, "model": {"d_model": "x"}})),
        ("run.json", json.dumps({**record, "data": "none"})),
        ("run.json", json.dumps({k: v for k, v in record.items() if k != "train"})),
        ("log.jsonl", ""),
        ("log.jsonl", '{"step": 1}\n' + text["log.jsonl"]),
        ("log.jsonl", text["log.jsonl"].replace('"seconds"', '"hours"')),
        ("log.jsonl", text["log.jsonl"].replace('"whole": true', '"whole": false')),
    ]
    for name, content in damages:
        (good.path / name).write_text(content)
        assert find_runs(RUNS) == [], content[:50]
        (good.path / name).write_text(text[name])
    assert find_runs(RUNS) == [good]
    others = [
        dataclasses.replace(good, text=("other", None)),
        dataclasses.replace(good, train_bytes=None),
        dataclasses.replace(good, bits_per_byte=1.0),
    ]
    assert comparable(good, others) == [others[2]]
    assert read_run(RunFolder(tmp_path)) is None
