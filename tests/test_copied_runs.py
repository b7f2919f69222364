"""A run is whole wherever it is copied, and means its newest checkpoint there too."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Call, assert_one_line, command_runner
from run_commands import tree, write_text
from test_users_files import LONGER, TRAIN, put, still_there, weights

from llm_explainer.commands.generate import generate
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.training.runs import run as runs


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Run a command in a folder with a text, as the shell would."""
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)
    write_text(tmp_path / "text.txt")
    return command_runner(tmp_path, monkeypatch, capsys)


def stop_early(run: Path, step: int) -> None:
    """Make it a run that was stopped after a step."""
    for path in run.glob("step-*"):
        if int(path.name[5:]) > step:
            shutil.rmtree(path)
    for name in ("last", "best"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(f"step-{step:06d}")


def without_links(source: Path, target: Path) -> None:
    """What rsync without -l does, or a drive that has none."""
    ignore = shutil.ignore_patterns("last", "best", "config.json.", "*.tmp")
    shutil.copytree(source, target, symlinks=True, ignore=ignore)
    for path in target.iterdir():
        if path.is_symlink():
            path.unlink()


def links_as_text(source: Path, target: Path) -> None:
    """What git does where links are off: a file that holds the link's target."""
    shutil.copytree(source, target, symlinks=True)
    for path in target.iterdir():
        if path.is_symlink():
            words = str(path.readlink())
            path.unlink()
            path.write_text(words)


COPIES = {
    "links kept": lambda source, target: shutil.copytree(source, target, symlinks=True),
    "links followed": lambda source, target: shutil.copytree(source, target),
    "links left out": without_links,
    "links as text": links_as_text,
}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_a_copied_run_goes_on_and_means_its_newest_checkpoint(
    copy: Any, command: Call, tmp_path: Path
) -> None:
    assert command(pretrain, *LONGER, "--out=here")[0] == 0
    whole = (tmp_path / "here/step-000006/model.safetensors").read_bytes()
    stop_early(tmp_path / "here", 2)
    copy(tmp_path / "here", tmp_path / "there")
    shutil.rmtree(tmp_path / "here")
    assert weights("there") == weights("there/step-000002")
    code, _, err = command(pretrain, "--resume=there")
    assert code == 0, err
    assert (tmp_path / "there/step-000006/model.safetensors").read_bytes() == whole
    assert weights("there") == weights("there/step-000006")
    assert (tmp_path / "there/model.safetensors").read_bytes() == whole
    assert (tmp_path / "there/last").resolve().name == "step-000006"
    code, _, _ = command(generate, "there", "--prompt=the", "--max-tokens=2")
    assert code == 0


def test_without_links_the_top_level_has_copies(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(Path, "symlink_to", refuse)
    assert command(pretrain, *LONGER, "--out=run")[0] == 0
    run = tmp_path / "run"
    assert not any(path.is_symlink() for path in run.iterdir())
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (run / name).read_bytes() == (run / "step-000006" / name).read_bytes()
    stop_early_copy = tree(run)
    assert command(pretrain, "--resume=run", "--steps=8")[0] == 0
    assert tree(run) != stop_early_copy
    assert (run / "model.safetensors").read_bytes() == (
        run / "step-000008/model.safetensors"
    ).read_bytes()


@pytest.mark.filterwarnings("always::llm_explainer.errors.LLMExplainerWarning")
def test_a_file_of_the_users_in_the_place_of_a_link_stays(command: Call, tmp_path: Path) -> None:
    assert command(pretrain, *LONGER, "--out=run")[0] == 0
    (tmp_path / "run/config.json").unlink()
    mine = put(tmp_path / "run", "config.json")
    code, _, err = command(pretrain, "--resume=run", "--steps=8")
    assert code == 0
    assert "config.json is no file that this run wrote" in err
    assert still_there(tmp_path / "run", mine)
    assert weights("run") == weights("run/step-000008")


def test_modes_are_those_of_the_umask(command: Call, tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    finally:
        os.umask(before)
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert len(files) > 8
    assert {path.stat().st_mode & 0o777 for path in files} == {0o640}


def test_a_run_that_may_only_be_read_can_be_used(command: Call, tmp_path: Path) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    before = tree(tmp_path)
    paths = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    for path in paths:
        if not path.is_symlink():
            path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert command(generate, "run", "--prompt=the", "--max-tokens=2")[0] == 0
        if os.geteuid():  # nothing is forbidden to root
            assert_one_line(command(pretrain, "--resume=run"), "cannot write run folder")
    finally:
        for path in paths:
            path.chmod(0o755)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("change", ["another text", "one bit", "shorter"])
def test_other_data_than_the_run_began_with_is_refused(
    change: str, command: Call, tmp_path: Path
) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    path = tmp_path / "run/data/train.npy"
    saved, times = path.read_bytes(), path.stat()
    ids = np.load(path)
    if change == "another text":
        np.save(path, ids[::-1].copy())
    elif change == "one bit":
        ids[5] ^= 1
        np.save(path, ids)
    else:
        np.save(path, ids[:-1])
    result = command(pretrain, "--resume=run")
    assert_one_line(result, "train.npy", "is not what this run began with")
    path.write_bytes(saved)  # put back, with another time
    assert command(pretrain, "--resume=run")[0] == 0
    assert path.stat().st_mtime_ns != times.st_mtime_ns


@pytest.mark.parametrize(
    "name", ["optimizer.safetensors", "model.safetensors", "trainer_state.json", "config.json"]
)
@pytest.mark.parametrize("damage", ["a bit", "gone"])
def test_a_damaged_newest_checkpoint_names_the_way_back(
    name: str, damage: str, command: Call, tmp_path: Path
) -> None:
    assert command(pretrain, *LONGER, "--out=run")[0] == 0
    path = tmp_path / "run/step-000006" / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-3] + b"xyz")
    result = command(pretrain, "--resume=run")
    assert_one_line(result, name, "run/step-000004 is whole", "delete run/step-000006")
    if name in ("model.safetensors", "config.json"):
        result = command(generate, "run", "--prompt=the")
        assert_one_line(result, name, "run/step-000004 is whole")
    shutil.rmtree(tmp_path / "run/step-000006")
    assert command(pretrain, "--resume=run")[0] == 0


def test_the_way_back_goes_by_checkpoints_that_are_whole(command: Call, tmp_path: Path) -> None:
    assert command(pretrain, *LONGER, "--out=run")[0] == 0
    for step in (4, 6):
        path = tmp_path / f"run/step-{step:06d}/optimizer.safetensors"
        path.write_bytes(b"")
    result = command(pretrain, "--resume=run")
    assert_one_line(result, "step-000006", "run/step-000002 is whole")
    for step in (0, 2):
        (tmp_path / f"run/step-{step:06d}/optimizer.safetensors").write_bytes(b"")
    assert "whole" not in command(pretrain, "--resume=run")[2]


@pytest.mark.parametrize("change", ["gone", "other ids"])
def test_a_run_whose_tokenizer_is_not_its_own_is_refused(
    change: str, command: Call, tmp_path: Path
) -> None:
    assert command(pretrain, *TRAIN, "--out=run")[0] == 0
    path = tmp_path / "run" / "step-000002" / "tokenizer.json"
    before = path.read_text()
    if change == "gone":
        path.unlink()
    else:
        document = json.loads(before)
        vocab = document["model"]["vocab"]
        vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
        path.write_text(json.dumps(document))
    result = command(pretrain, "--resume=run", "--steps=4")
    assert_one_line(result, "tokenizer.json")
