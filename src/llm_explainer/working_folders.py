"""Folders in which a command makes something before it takes its name; after a kill, cleaned up.

    trained-tokenizers/
        .mine.0a1b2c3d.tmp/   hidden while ``mine`` is made
            run.lock          whose it is, and whether that process is still at work
            new/              what is being made
            old/              for the moment between two renames: what ``new`` replaces

The lock is put there first and removed last. So a folder that has one is ours, whatever it holds,
and the next command removes it once nobody holds the lock. A folder that is only called so is
somebody else's.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llm_explainer.errors import CheckpointError
from llm_explainer.files import OF_SYSTEMS
from llm_explainer.folder_lock import LOCK, FolderLock

NEW, OLD = "new", "old"
_NAME = re.compile(r"\.(?P<result>.+)\.[0-9a-f]{8}\.tmp", re.DOTALL)
_TRIES = 100


@contextmanager
def working_folder(target: Path) -> Iterator[Path]:
    """Give a new empty folder beside ``target``, on the same file system, to make it in.

    When the block ends the folder is gone with all that is in it, and after an error so are the
    folders above that it took. What killed commands left beside ``target`` is put in order first.

    Raises:
        OSError: no space, no permission.
    """
    place = target.parent
    missing = [folder for folder in (place, *place.parents) if not folder.exists()]
    place.mkdir(parents=True, exist_ok=True)
    try:
        remove_abandoned(place)
        lock = _make(target)
        try:
            (lock.folder / NEW).mkdir()
            yield lock.folder / NEW
        finally:
            _remove(lock)
    except BaseException:
        for folder in missing:
            with suppress(OSError):
                folder.rmdir()  # which refuses where somebody has put something
        raise


def move_into_place(made: Path, target: Path, set_aside: Path) -> None:
    """Let the folder ``made`` take the name ``target``; the folder that had it gets ``set_aside``.

    Raises:
        OSError: no permission.
    """
    if not target.exists():
        made.rename(target)
        return
    for name in OF_SYSTEMS:  # which belong to the place, and not to what is made there
        if (target / name).is_file():
            shutil.copy2(target / name, made / name)
    # A folder cannot be renamed onto another that holds files, so this takes two steps.
    target.rename(set_aside)
    try:
        made.rename(target)
    except BaseException:
        set_aside.rename(target)
        raise


def remove_abandoned(place: Path) -> None:
    """Remove the working folders in ``place`` that killed commands left; give back what they held.

    What cannot be removed stays.

    Raises:
        OSError: ``place`` cannot be read.
    """
    for folder in list(place.iterdir()):
        match = _NAME.fullmatch(folder.name)
        if match is None or folder.is_symlink() or not folder.is_dir():
            continue
        with suppress(OSError, CheckpointError):  # in use, or not ours to change
            names = [entry.name for entry in folder.iterdir()]
            lock = FolderLock(folder)
            if not names:
                folder.rmdir()  # killed before there was a lock
            elif lock.is_of_others() or (names == [LOCK] and not (folder / LOCK).stat().st_size):
                lock.acquire()
                target = place / match["result"]
                if (folder / OLD).exists() and not target.exists():
                    (folder / OLD).rename(target)
                _remove(lock)


def _make(target: Path) -> FolderLock:
    """Return the lock of a new folder beside ``target``."""
    for _ in range(_TRIES):
        folder = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        folder.mkdir()
        lock = FolderLock(folder)
        # Before it has its lock, another process may take it for abandoned.
        with suppress(FileNotFoundError, CheckpointError):
            lock.acquire()
            return lock
    raise FileNotFoundError(f"folders in {target.parent} vanish as they are made")


def _remove(lock: FolderLock) -> None:
    """Remove a folder whose lock is ours; the lock last, by which it is known."""
    for entry in lock.folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        elif entry.name != LOCK:
            entry.unlink()
    if [entry.name for entry in lock.folder.iterdir()] == [LOCK]:
        lock.release()
        lock.folder.rmdir()
    else:
        lock.release()
