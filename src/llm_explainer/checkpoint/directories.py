"""Directories that appear all at once: others see the old one or the new, never half of it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_explainer.errors import CheckpointError
from llm_explainer.files import names_in
from llm_explainer.working_folders import move_into_place

# Beside "name": what is being written, and what a new one is about to replace.
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}\.(?P<kind>tmp|old)", re.DOTALL)


@contextmanager
def write_directory(
    target: Path, known_files: Collection[str], *, overwrite: bool
) -> Iterator[Path]:
    """Yield a new empty directory; when the block ends, it takes the place of ``target``.

    It is a hidden sibling until all that was written into it has reached the disk. After an error
    it is removed, and ``target`` is as it was. A process killed on the way leaves it behind, for
    ``remove_leftovers``. An existing ``target`` is set aside under another hidden name for the
    moment between two renames; ``find_directory`` knows that name.

    Args:
        target: an absolute path.
        known_files: what an existing ``target`` may hold; it is not replaced if it holds more.
        overwrite: whether it may be replaced at all (an empty directory always is).

    Raises:
        CheckpointError: ``target`` is in the way.
        OSError: no space, no permission.
    """
    refuse_existing(target, known_files, overwrite)
    temporary = _sibling(target, "tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        sync_all(temporary)
        set_aside = _sibling(target, "old")
        move_into_place(temporary, target, set_aside)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync(target.parent)
    shutil.rmtree(set_aside, ignore_errors=True)


def find_directory(path: Path) -> Path:
    """Return ``path``, or if it is gone, the one that an interrupted ``write_directory`` set aside.

    Raises:
        OSError: the folder around it cannot be read.
    """
    if not path.exists() and path.parent.is_dir():
        for sibling, kind, name in _leftovers(path.parent):
            if kind == "old" and name == path.name:
                return sibling
    return path


def remove_leftovers(folder: str | os.PathLike[str]) -> None:
    """Clean up what processes that were killed while saving left in ``folder``.

    Half-written checkpoints are removed; one that was set aside and not yet replaced gets its name
    back. Call it only while nobody saves there.

    Raises:
        CheckpointError: no such folder, or no permission.
    """
    try:
        for path, kind, name in _leftovers(Path(folder)):
            if kind == "old" and not (path.parent / name).exists():
                path.rename(path.parent / name)
            else:
                shutil.rmtree(path)
    except OSError as error:
        raise CheckpointError(f"cannot clean up {folder}: {error.strerror}") from None


def _leftovers(folder: Path) -> list[tuple[Path, str, str]]:
    """Return (path, "tmp" or "old", the name that it was to have)."""
    matches = [(path, _LEFTOVER.fullmatch(path.name)) for path in folder.iterdir()]
    return [(path, m["kind"], m["name"]) for path, m in matches if m and path.is_dir()]


def refuse_existing(target: Path, known_files: Collection[str], overwrite: bool) -> None:
    """Refuse to replace what is no directory, or holds more than ``known_files``, or may not be.

    Raises:
        CheckpointError: naming what is in the way.
        OSError: it cannot be read.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise CheckpointError(f"{target} is a file; a checkpoint needs a directory of its own")
    names = names_in(target)
    if names and not overwrite:
        raise CheckpointError(f"{target} exists already; take another name, or ask to overwrite it")
    # Overwriting deletes the directory: it must not hold anything that somebody else put there.
    for name in names:
        if name not in known_files:
            raise CheckpointError(
                f"{target} holds {name!r}, which is no part of a checkpoint, so it is not "
                "overwritten; take another name"
            )


def _sibling(target: Path, kind: str) -> Path:
    # A sibling, because a rename works only within one file system; random, because two processes
    # may write under the same name.
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}.{kind}")


def sync_all(folder: Path) -> None:
    """Wait until the files of a directory, and itself, have reached the disk.

    Raises:
        OSError: no space.
    """
    for file in folder.iterdir():
        _sync(file)
    _sync(folder)


def _sync(path: Path) -> None:
    """Wait until a file's content, or a directory's entries, have reached the disk."""
    if os.name != "posix":
        return  # Windows has no way to do this for a directory
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
