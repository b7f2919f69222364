"""What a killed command leaves behind is removed by the next one, and nothing else is."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, command_runner
from run_commands import tree, write_text

from llm_explainer.commands import encode_corpus, train_tokenizer
from llm_explainer.folder_lock import FolderLock
from llm_explainer.working_folders import move_into_place, working_folder

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")

LEARN = [train_tokenizer.train_tokenizer, "text.txt", "--vocab-size=280", "--workers=1"]
ENCODE = [encode_corpus.encode_corpus, "text.txt", "--tokenizer=bytes", "--workers=1"]


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    write_text(tmp_path / "text.txt")
    return command_runner(tmp_path, monkeypatch, capsys)


def kill(*arguments: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed(call: Any, *arguments: Any) -> None:
    """Call something in a process of its own, which is killed."""
    pid = os.fork()
    if pid == 0:
        try:
            call(*arguments)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def hidden(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


@pytest.mark.parametrize(
    ("words", "module", "moment"),
    [
        (LEARN, train_tokenizer, "_learn"),
        (LEARN, train_tokenizer, "_report"),
        (ENCODE, encode_corpus, "_encode"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_next_command_cleans_up_after_a_killed_one(
    words: list[Any],
    module: Any,
    moment: str,
    command: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = "trained-tokenizers/text" if words is LEARN else "tokens"
    mine = [
        tmp_path / out / "../.text.0123abcd.tmp/tokenizer.json",
        tmp_path / "tokens/.text-train.npy.0123abcd.tmp/run.lock",
        tmp_path / "tokens/.mine.0123abcd.tmp",
    ]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    before = hidden(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(module, moment, kill)
        killed(command, *words)
    assert (hidden(tmp_path) == before) is (moment == "_report")  # when all is in its place
    code, _, err = command(*words, *(["--overwrite"] if moment == "_report" else []))
    assert code == 0, err
    assert hidden(tmp_path) == before
    assert [path.read_text() for path in mine] == ["mine"] * 3


def test_one_that_is_at_work_is_left_alone(tmp_path: Path) -> None:
    with working_folder(tmp_path / "a") as first:
        (first / "x").write_text("first")
        killed(_make_and_die, tmp_path / "b")
        assert len(hidden(tmp_path)) == 2
        with working_folder(tmp_path / "a"):
            assert len(hidden(tmp_path)) == 2
        assert (first / "x").read_text() == "first"
    assert hidden(tmp_path) == []


def _make_and_die(target: Path) -> None:
    with working_folder(target):
        kill()


@pytest.mark.parametrize("renames", [1, 2])
def test_what_was_about_to_be_replaced_comes_back(renames: int, tmp_path: Path) -> None:
    target = tmp_path / "mine"
    target.mkdir()
    (target / "tokenizer.json").write_text("old")

    def die() -> None:
        with working_folder(target) as made:
            (made / "tokenizer.json").write_text("new")
            if renames == 2:
                move_into_place(made, target, made.with_name("old"))
            else:
                target.rename(made.with_name("old"))
            kill()

    killed(die)
    with working_folder(tmp_path / "another"):
        pass
    assert tree(tmp_path) == {
        "mine": "",
        "mine/tokenizer.json": b"old" if renames == 1 else b"new",
    }


def test_one_that_was_killed_before_it_had_its_lock(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f".{name}.0123abcd.tmp").mkdir()
    (tmp_path / ".b.0123abcd.tmp/run.lock").write_text("")
    (tmp_path / ".c.0123abcd.tmp/run.lock").write_text("{")  # nobody's that we know
    with working_folder(tmp_path / "d"):
        pass
    assert tree(tmp_path) == {".c.0123abcd.tmp": "", ".c.0123abcd.tmp/run.lock": b"{"}


def test_one_on_another_machine_without_locks_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / ".a.0123abcd.tmp"
    folder.mkdir()
    lock = FolderLock(folder)
    lock.acquire()
    held = json.loads((folder / "run.lock").read_text())
    lock.release()
    (folder / "run.lock").write_text(json.dumps({**held, "host": "elsewhere"}))
    monkeypatch.setattr("llm_explainer.folder_lock.fcntl", None)
    with working_folder(tmp_path / "c"):
        pass
    assert (folder / "run.lock").exists()


def test_after_an_error_no_folder_stays(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no"), working_folder(tmp_path / "deep/er/mine"):
        raise ValueError("no")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "desktop.ini"])
def test_files_of_systems_do_not_make_a_folder_full(
    name: str, command: Call, tmp_path: Path
) -> None:
    for words in (["--out=mine"], ["--out=mine", "--overwrite"]):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / name).write_text("of the system")
        code, _, err = command(*LEARN, *words)
        assert code == 0, err
        assert (tmp_path / "mine" / name).read_text() == "of the system"
        assert (tmp_path / "mine/tokenizer.json").exists()
