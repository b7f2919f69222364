"""Training says which step was its best, and the commands take it."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from command_line import Call, assert_one_line, command_runner
from rich.console import Console

from llm_explainer import ModelConfig, load_backend, save_checkpoint
from llm_explainer.commands.generate import generate
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.commands.training import report_result
from llm_explainer.errors import CheckpointError
from llm_explainer.run_folders import best_checkpoint
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.training.evaluation import Evaluation
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.trainer import TrainResult

TOKENIZER = CharTokenizer.train(["ab"])


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of 3 steps, of which step 2 was the best: it writes a, the last one b."""
    folder = RunFolder(tmp_path / "run")
    folder.create()
    folder.write_record({"model": {}, "train": {}})
    config = ModelConfig(vocab_size=3, d_model=4, n_layers=1, n_heads=1, context_length=8)
    for step, letter in ((2, 0), (3, 1)):
        model = load_backend("numpy").GPT(config, init_scheme="zeros")
        model.final_norm.bias[:] = 1
        model.token_embedding.weight[letter] = 1
        save_checkpoint(folder.checkpoint(step), model, TOKENIZER)
    folder.link(2)
    folder.let_go()
    return folder


def closing_lines(
    folder: RunFolder, best: int | None, losses: tuple[float, float], **config: int
) -> str:
    console = Console(file=io.StringIO(), width=300)
    trainer = SimpleNamespace(
        best_loss=losses[0],
        last_loss=losses[1],
        config=SimpleNamespace(**{"steps": 3, "patience": 0, **config}),
    )
    shown: Any = SimpleNamespace(folder=folder, trainer=trainer)
    measured = Evaluation(losses[1], 2)
    report_result(TrainResult(3, True, folder.checkpoint(3), measured, best), shown, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_closing_lines_name_the_best_step_and_how_to_use_it(run: RunFolder) -> None:
    said = closing_lines(run, 2, (4.26, 4.98))
    assert f"best        {run.checkpoint(2)}: validation loss 4.2600 there, 4.9800 at the" in said
    assert "since then it has learned its text by heart" in said
    assert f"uv run run_demo.py generate {run.path} --best" in said
    assert f"uv run train_pretrain.py --from {run.path} --best" in said
    assert "--patience 2" in said


def test_they_say_no_more_than_there_is_to_say(run: RunFolder) -> None:
    assert "best" not in closing_lines(run, 3, (4.2, 4.2))
    assert "best" not in closing_lines(run, None, (4.2, 4.2))
    by_chance = closing_lines(run, 2, (4.20, 4.21), patience=2)
    assert "by heart" not in by_chance
    assert "--patience" not in by_chance
    early = closing_lines(run, 2, (4.2, 4.9), steps=9, patience=2)
    assert "ended early: 2 evaluations in a row were no better than the best" in early
    run.write_record({"model": {}, "train": {}}, means="best")
    run.link(2)
    assert f"{run.path} stands for it" in closing_lines(run, 2, (4.2, 4.9))


def test_the_best_is_taken_where_it_is_asked_for(run: RunFolder, command: Call) -> None:
    assert best_checkpoint(run.path) == run.checkpoint(2)
    options = ["--prompt=a", "--temperature=0", "--max-tokens=2", "--backend=numpy"]
    assert command(generate, str(run.path), *options)[1] == "abb\n"
    assert command(generate, str(run.path), "--best", *options)[1] == "aaa\n"


def test_where_there_is_no_best_it_is_said(run: RunFolder, command: Call, tmp_path: Path) -> None:
    for path in (run.checkpoint(2), tmp_path):
        with pytest.raises(CheckpointError, match="has no best checkpoint"):
            best_checkpoint(path)
    assert (
        "has no best checkpoint" in command(generate, str(run.checkpoint(2)), "--best", "-p=a")[2]
    )
    assert_one_line(command(pretrain, "--best", "--out=new"), "--best is about the run in --from")
