"""One run, one process: who comes second is told who was first, and disturbs nothing."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from run_commands import TINY, write_text
from warm_commands import Commands, wait_for

from llm_explainer import folder_lock
from llm_explainer.errors import CheckpointError
from llm_explainer.folder_lock import FolderLock
from llm_explainer.training.runs.names import make_free_folder

linux = pytest.mark.skipif(sys.platform != "linux", reason="forks")
NEW = ["train_pretrain.py", *TINY, "--corpus=text.txt", "--steps=3", "--out=run"]
MOMENTS = {
    "preparing": "llm_explainer.training.pretrain:write_tokens",
    "training": "llm_explainer.training.trainer:Trainer._update",
}


@linux
@pytest.mark.parametrize("second", ["new", "overwrite", "resume"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_who_comes_second_is_told_who_was_first(
    moment: str, second: str, commands: Commands, tmp_path: Path
) -> None:
    write_text(tmp_path / "text.txt")
    words = {
        "new": NEW,
        "overwrite": [*NEW, "--overwrite"],
        "resume": ["train_pretrain.py", "--resume=run"],
    }[second]
    first = commands.start(tmp_path, *NEW, at=MOMENTS[moment])
    wait_for(tmp_path / "moment", first)
    assert commands.wait(commands.start(tmp_path, *words, output="second")) == 2
    told = (tmp_path / "errors").read_text()
    assert f"run is in use by process {first} on {os.uname().nodename}" in told
    assert f"kill {first}" in told
    (tmp_path / "go").touch()
    assert commands.wait(first) == 0
    assert (tmp_path / "run/step-000003/config.json").exists()
    assert not (tmp_path / "run/run.lock").exists()


@linux
def test_a_lock_ends_with_its_process(commands: Commands, tmp_path: Path) -> None:
    write_text(tmp_path / "text.txt")
    first = commands.start(tmp_path, *NEW, "--workers=2", at=MOMENTS["training"], nth=2)
    wait_for(tmp_path / "moment", first)
    os.kill(first, signal.SIGKILL)  # its worker may live on for a moment
    second = commands.start(tmp_path, "train_pretrain.py", "--resume=run")
    assert commands.wait(second) == 0, (tmp_path / "errors").read_text()
    commands.wait(first)


def test_default_folders_are_numbered_without_a_race(tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(make_free_folder(tmp_path / "runs", "quick")))
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20


def holder(**changes: object) -> dict[str, object]:
    return {**folder_lock._this_process(), **changes}


@pytest.mark.parametrize(
    ("changes", "is_free"),
    [
        ({"pid": 2**22 + 1}, True),  # no such process
        ({"started": "1"}, True),  # its number was given to another one
        ({}, False),
        ({"host": "elsewhere"}, False),
    ],
    ids=["dead", "another", "alive", "elsewhere"],
)
@pytest.mark.skipif(os.name != "posix", reason="needs /proc")
def test_without_locks_of_the_system_the_text_counts(
    changes: dict[str, object], is_free: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_lock, "fcntl", None)
    (tmp_path / "run.lock").write_text(json.dumps(holder(**changes)))
    held = FolderLock(tmp_path)
    if is_free:
        held.acquire()
        assert json.loads((tmp_path / "run.lock").read_text())["pid"] == os.getpid()
        held.release()
        assert not (tmp_path / "run.lock").exists()
        return
    with pytest.raises(
        CheckpointError, match=r"is in use by process \d+ on .*; if it is gone, del"
    ):
        held.acquire()


def test_objects_of_one_process_share_the_lock(tmp_path: Path) -> None:
    one, other = FolderLock(tmp_path), FolderLock(tmp_path)
    one.acquire()
    one.acquire()
    other.acquire()
    one.release()
    assert (tmp_path / "run.lock").exists()
    other.release()
    assert not (tmp_path / "run.lock").exists()
