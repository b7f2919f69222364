"""Sweeps: every combination once, a table, going on where it was stopped, what cannot be asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from command_line import assert_one_line, command_runner
from run_commands import TINY, write_text

from llm_explainer.commands.sweep import EXTRA, sweep
from llm_explainer.commands.sweep_options import Value
from llm_explainer.commands.sweep_plan import SCRIPTS, plan_runs, with_base
from llm_explainer.console.terminal import make_console
from llm_explainer.errors import ConfigError
from llm_explainer.training.runs import run as runs
from llm_explainer.training.runs.log import read_log
from llm_explainer.training.sweeps.folder import SweepFolder
from llm_explainer.training.sweeps.grid import Combination
from llm_explainer.training.sweeps.results import Result, SeedResult, read_results
from llm_explainer.training.trainer import Trainer

RATES = "--learning-rate=0.01,0.02,1e12"  # the last one diverges
BASE = (*TINY, "--corpus=text.txt", "--steps=6", "--warmup-steps=0")


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Any:
    """Return what runs ``sweep`` with options that make its runs tiny."""
    write_text(tmp_path / "text.txt", lines=30)
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)
    app = typer.Typer()
    app.command(context_settings=EXTRA)(sweep)
    call = command_runner(tmp_path, monkeypatch, capsys)
    monkeypatch.setenv("COLUMNS", "80")
    return lambda *arguments: call(app, *BASE, *arguments)


def steps_of(log: Path) -> list[int]:
    return [event["step"] for event in read_log(log) if event["event"] == "step"]


def test_a_sweep_trains_shows_and_goes_on(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in its second run, then finished, then shown again without training."""
    arguments = (RATES, "--seeds=0")
    update = Trainer._update

    def stop(self: Trainer) -> None:
        update(self)
        if self.step == 4 and "=0.02" in self.folder.path.name:
            self.request_stop()

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_update", stop)
        code, out, _ = command(*arguments)
    assert code == 130
    assert "stopped in run 2, step 4; the same command goes on" in out
    names = ["learning-rate=0.01,seed=0", "learning-rate=0.02,seed=0"]
    logs = [tmp_path / "runs" / "sweep" / name / "log.jsonl" for name in names]
    assert [steps_of(log) for log in logs] == [[1, 2, 3, 4, 5, 6], [1, 2, 3, 4]]

    untouched = logs[0].stat().st_mtime_ns
    code, out, err = command(*arguments)
    assert code == 0, err
    assert [steps_of(log) for log in logs] == [[1, 2, 3, 4, 5, 6]] * 2
    assert logs[0].stat().st_mtime_ns == untouched
    assert "3 runs in runs/sweep: 3 × 1 seeds" in out
    assert out.count("diverged at step") == 1
    assert out.count("diverged  ") == 1
    assert out.count("1 of 1") == 2
    assert "first in " in out
    assert max(map(len, out[: out.index("learning-rate 1e+12")].splitlines())) <= 80
    assert (tmp_path / "runs" / "sweep" / "sweep.png").stat().st_size > 10_000

    monkeypatch.setattr(Trainer, "_update", None)  # nothing is left to train
    assert command(*arguments)[0] == 0
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["sweep"]


def test_values_and_seeds_are_added_to_a_sweep(command: Any, tmp_path: Path) -> None:
    options = ("--out", "mine")
    assert command(*options, "--seeds=0")[0] == 0
    first = tmp_path / "mine" / "seed=0" / "log.jsonl"
    before = first.stat().st_mtime_ns
    code, out, _ = command(*options, "--seeds=0,1")
    assert code == 0
    assert out.count("2 of 2") == 1
    assert first.stat().st_mtime_ns == before
    results = read_results(SweepFolder(tmp_path / "mine"), [Combination(())], [0, 1])
    ends = [event["loss"] for event in read_log(first) if event.get("whole")]
    assert results[0].losses[0] == ends[-1]
    assert_one_line(command(*options, "--dropout=0.1"), "mine", "sweep over other options")
    assert_one_line(command("--out=.", "--steps=1,2"), "files that are not a sweep's")


@pytest.mark.parametrize(("batch_size", "steps"), [(2, 6), (4, 3)])
def test_tokens_are_one_budget_for_every_batch(
    batch_size: int, steps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "text.txt")
    words = [each for each in BASE if not each.startswith(("--steps", "--batch"))]
    choices = SCRIPTS["pretrain"].choices([*words, f"--batch-size={batch_size}"])
    runs = plan_runs(
        "pretrain", choices, [Combination(())], [5], 192, lambda stage, done, total: None
    )
    assert [run.settings.train.steps for run in runs] == [steps]
    assert runs[0].settings.train.seed == 5


@pytest.mark.parametrize(
    ("arguments", "needles"),
    [
        (["--lerning-rate=1"], ["--lerning-rate", "did you mean --learning-rate?"]),
        (["--learning-rate=1e-3,x"], ["--learning-rate", "train_pretrain.py --help"]),
        (["--learning-rate=1e-3,0.001"], ["0.001 twice"]),
        (["--learning-rate=1e-3,", "1e-2"], ["--learning-rate"]),
        (["--norm-position=pre,mid"], ["'mid'", "pre, post"]),
        (["--n-heads=3"], ["n_heads 3"]),
        (["--bias=yes"], ["--bias takes no value"]),
        (["--corpus=missing.txt"], ["no corpus or file 'missing.txt'"]),
        (["--seed=3"], ["--seeds 0,1,2"]),
        (["--seeds=0,0"], ["'0,0'"]),
        (["--seeds=-1"], ["'-1'"]),
        (["--resume=x"], ["a sweep decides --resume itself"]),
        (["--script=finetune"], ["pretrain, finetune-full, finetune-lora"]),
        (["--tokens=100"], ["--steps"]),
        (["rank"], ["'rank' is no option"]),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_starts(
    command: Any, tmp_path: Path, arguments: list[str], needles: list[str]
) -> None:
    assert_one_line(command(*arguments), *needles)
    assert not (tmp_path / "runs").exists()


def test_values_of_options() -> None:
    script = SCRIPTS["finetune-lora"]
    choices = script.choices(
        ["--rank", "4,8", "--targets=q_proj,v_proj", "--targets", "all-linear", "--dora"]
    )
    texts = {name: [value.text for value in values] for name, values in choices.items()}
    assert texts == {
        "rank": ["4", "8"],
        "targets": ["q_proj,v_proj", "all-linear"],
        "dora": ["yes"],
    }
    both = SCRIPTS["pretrain"].choices(["--bias", "--no-bias"])
    assert [value.text for value in both["bias"]] == ["yes", "no"]
    with pytest.raises(ConfigError, match="no option --rank"):
        SCRIPTS["pretrain"].choices(["--rank=4"])


def test_a_sweep_over_own_records_names_its_base(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    app = typer.Typer()
    app.command(context_settings=EXTRA)(sweep)
    call = command_runner(tmp_path, monkeypatch, capsys)
    arguments = ("--script=finetune-lora", "--rank=2,4")
    assert_one_line(call(app, *arguments, "--data=qa.jsonl"), "--from")
    assert_one_line(call(app, *arguments), "pre-trained on stories", "run_demo.py full")
    assert_one_line(call(app, "--seeds=0"), "nothing to compare", "--learning-rate 1e-4,1e-3")


def test_a_base_that_was_found_is_part_of_what_a_sweep_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = tmp_path / "runs" / "base"
    base.mkdir(parents=True)
    record = {"kind": "pretrain", "data": {"corpus": "stories"}}
    record["model"] = {"config": {"context_length": 192}}
    (base / "run.json").write_text(json.dumps(record))
    (base / "config.json").write_text("{}")
    choices = SCRIPTS["finetune-lora"].choices(["--rank=2,4"])
    found = with_base("finetune-lora", choices, make_console())
    assert found["from"] == [Value(("--from=runs/base",), "runs/base")]
    assert found["rank"] == choices["rank"]
    typed = SCRIPTS["finetune-lora"].choices(["--from=here"])
    assert with_base("finetune-lora", typed, make_console()) == typed
    assert with_base("pretrain", {}, make_console()) == {}


def test_names_of_folders() -> None:
    combination = Combination((("corpus", "../my texts/a.txt"), ("learning-rate", "0.001")))
    assert combination.run_name(2) == "corpus=.._my_texts_a.txt,learning-rate=0.001,seed=2"


def test_mean_and_spread_are_over_the_runs_that_finished() -> None:
    def run(loss: float | None) -> SeedResult:
        return SeedResult(0, 1.0, [], loss, None, None)

    result = Result(Combination(()), [run(1.0), run(None), run(3.0)])
    assert result.mean(lambda each: each.loss) == 2.0
    assert result.spread == pytest.approx(2**0.5)
    assert Result(Combination(()), [run(1.0)]).spread is None


def test_a_damaged_record_is_told(tmp_path: Path, command: Any) -> None:
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "sweep.json").write_text(json.dumps({"format": "llm-explainer sweep, 1"}))
    assert_one_line(command("--out=broken", "--steps=1,2"), "broken/sweep.json", "damaged")
