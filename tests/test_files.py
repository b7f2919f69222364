"""Atomic writes: the old file or the new one, whatever happens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llm_explainer.files import write_atomically


def names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def test_writes_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    write_atomically(str(path), b"new\r\n\x00")
    assert path.read_bytes() == b"new\r\n\x00"
    assert names_in(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("failing", ["os.fsync", "pathlib.Path.replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(failing, full_disk)
        with pytest.raises(OSError, match="No space left"):
            write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names_in(tmp_path) == ["a.bin"]


def test_the_bytes_reach_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), fsync(fd)))
    monkeypatch.setattr(Path, "replace", lambda *a: (steps.append("rename"), replace(*a))[1])
    write_atomically(tmp_path / "a.bin", b"data")
    assert steps[:2] == ["sync", "rename"]


def test_a_missing_folder_and_a_folder_in_the_way_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a.bin", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomically(tmp_path / "folder", b"")
    assert names_in(tmp_path) == ["folder"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes among the files here")
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, said in (("pipe", "no ordinary file"), ("folder", "Is a directory")):
        with pytest.raises(OSError, match=said):
            write_atomically(tmp_path / name, b"new")
    with pytest.raises(IsADirectoryError):
        write_atomically("", b"new")
    assert sorted(names_in(tmp_path)) == ["folder", "pipe"]
    assert (tmp_path / "pipe").is_fifo()
