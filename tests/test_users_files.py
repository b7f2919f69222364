"""No command deletes, moves, replaces or hides a file that it did not write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Call, assert_one_line, command_runner
from run_commands import TINY, tree, write_text

from llm_explainer import load_checkpoint, save_checkpoint
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.training.runs import run as runs
from llm_explainer.tree import flatten

TRAIN = [*TINY, "--corpus=text.txt", "--steps=2"]
LONGER = [*TRAIN, "--steps=6", "--checkpoint-every=2", "--keep-checkpoints=9"]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run a command in a folder with a text, as the shell would."""
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)
    write_text(tmp_path / "text.txt")
    return command_runner(tmp_path, monkeypatch, capsys)


def put(folder: Path, *names: str) -> dict[str, bytes]:
    """Write files of the user's; return them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"mine: {name}")
    return {name: (folder / name).read_bytes() for name in names}


def still_there(folder: Path, mine: dict[str, bytes]) -> bool:
    return all((folder / name).read_bytes() == content for name, content in mine.items())


def weights(path: Path | str) -> float:
    parameters = flatten(load_checkpoint(path, "numpy")[0].parameters())
    return float(sum(np.abs(array).sum() for array in parameters.values()))


# What belongs to the user, in every place where a run has its own

HIDDEN = [".git/HEAD", ".env", ".wandb/run", ".step-000001.notes.tmp", ".model.0123abcd.tmp/x"]
VISIBLE = ["README.md", "notes/today.txt", "data/mine.npy", "step-plan.txt", "last.txt"]
INSIDE = ["step-000002/model.gguf"]


def test_resuming_keeps_what_the_user_put_there(command: Call, tmp_path: Path) -> None:
    assert command(pretrain, *LONGER, "--out=run")[0] == 0
    mine = put(tmp_path / "run", *HIDDEN, *VISIBLE, "step-000006/model.gguf")
    (tmp_path / "run/.last.tmp").symlink_to("step-000002")  # what a kill leaves
    (tmp_path / "run/.step-000006.deleted").mkdir()
    (tmp_path / "run/.run.json.0123abcd.tmp").write_text("{")
    (tmp_path / "run/.step-000002.0123abcd.tmp").mkdir()
    code, _, err = command(pretrain, "--resume=run", "--steps=20")
    assert code == 0, err
    assert still_there(tmp_path / "run", mine)
    assert not (tmp_path / "run/.last.tmp").is_symlink()
    assert not (tmp_path / "run/.step-000006.deleted").exists()
    assert not (tmp_path / "run/.run.json.0123abcd.tmp").exists()


@pytest.mark.parametrize("works", [True, False], ids=["a new run", "a typing error"])
def test_overwriting_keeps_what_the_user_put_there(
    works: bool, command: Call, tmp_path: Path
) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    mine = put(tmp_path / "run", *HIDDEN, *VISIBLE)
    before = tree(tmp_path)
    corpus = "text.txt" if works else "texd.txt"
    code, _, _ = command(pretrain, *TRAIN, f"--corpus={corpus}", "--out=run", "--overwrite")
    assert code == (0 if works else 2)
    assert still_there(tmp_path / "run", mine)
    if not works:
        assert tree(tmp_path) == before


def test_a_checkpoint_with_a_file_of_the_users_is_not_replaced(
    command: Call, tmp_path: Path
) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    put(tmp_path / "run", *INSIDE)
    before = tree(tmp_path)
    result = command(pretrain, *TRAIN, "--out=run", "--overwrite")
    assert_one_line(result, "step-000002", "model.gguf", "move it elsewhere")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "names",
    [
        ["data/train.npy", "data/validation.npy"],
        ["data/train.npy", ".unfinished"],
        ["run.json"],
        ["run-files.json", "data/train.npy"],
        ["config.json", "model.safetensors", "tokenizer.json"],
        [".git/HEAD"],
        ["step-000010/config.json"],
        ["run.lock"],
    ],
    ids=lambda names: names[0] + ("…" if len(names) > 1 else ""),
)
def test_a_folder_of_the_users_is_refused_whatever_its_files_are_called(
    names: list[str], command: Call, tmp_path: Path
) -> None:
    put(tmp_path / "run", *names)
    before = tree(tmp_path)
    for options in ([], ["--overwrite"]):
        assert_one_line(command(pretrain, *TRAIN, "--out=run", *options), "run")
        assert tree(tmp_path) == before


def test_files_of_systems_do_not_make_a_folder_full(command: Call, tmp_path: Path) -> None:
    mine = put(tmp_path / "run", ".DS_Store", "Thumbs.db")
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    assert still_there(tmp_path / "run", mine)


# Links as folders of runs


@pytest.mark.parametrize("target", ["disk/real", "disk/new", ".."], ids=["run", "nothing", "full"])
def test_a_link_is_followed_and_stays(target: str, command: Call, tmp_path: Path) -> None:
    (tmp_path / "disk/here").mkdir(parents=True)
    assert command(pretrain, *TRAIN, "--out=disk/real")[0] == 0
    (tmp_path / "run").symlink_to(target if target != ".." else "disk/here")
    before = tree(tmp_path)
    bad = command(pretrain, *TRAIN, "--corpus=texd.txt", "--out=run", "--overwrite")
    assert_one_line(bad, "texd.txt")
    assert tree(tmp_path) == before
    assert command(pretrain, *TRAIN, "--out=run", "--overwrite", "--seed=1")[0] == 0
    assert (tmp_path / "run").is_symlink()
    assert (tmp_path / "run").resolve().parent == tmp_path / "disk"
    assert (tmp_path / "run/step-000002/config.json").exists()


def test_a_run_in_the_working_folder(command: Call, tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    options = [*TINY, "--corpus=../text.txt", "--steps=2", "--out=."]
    assert command(pretrain, *options)[0] == 0
    before = tree(tmp_path)
    assert command(pretrain, *options, "--corpus=../texd.txt", "--overwrite")[0] == 2
    assert tree(tmp_path) == before
    assert command(pretrain, *options, "--overwrite")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "text.txt"]


def test_a_preparation_that_fails_leaves_no_folder(command: Call, tmp_path: Path) -> None:
    before = tree(tmp_path)
    for out in (["--out=a/b/run"], []):
        assert command(pretrain, *TRAIN, "--corpus=texd.txt", *out)[0] == 2
        assert command(pretrain, *TRAIN, "--steps=0", *out)[0] == 2
        assert tree(tmp_path) == before


# What people ask for


def test_a_finished_run_gets_more_steps(command: Call, tmp_path: Path) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    assert command(pretrain, "--resume=run", "--steps=5")[0] == 0
    assert (tmp_path / "run/last").resolve().name == "step-000005"
    assert json.loads((tmp_path / "run/run.json").read_text())["train"]["steps"] == 5
    assert_one_line(command(pretrain, "--resume=run", "--steps=3"), "steps is 3", "has done 5")


def test_a_finished_run_that_is_resumed_is_logged_once(command: Call, tmp_path: Path) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    log = (tmp_path / "run/log.jsonl").read_text()
    for _ in range(2):
        assert command(pretrain, "--resume=run")[0] == 0
        assert (tmp_path / "run/log.jsonl").read_text() == log


def test_a_checkpoint_needs_no_tokenizer(command: Call, tmp_path: Path) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    model, _ = load_checkpoint("run", "numpy")
    path = save_checkpoint(tmp_path / "bare", model)
    assert not (path / "tokenizer.json").exists()
