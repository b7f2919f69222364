"""Files: what is in a folder, and writing so that readers see the old content or the new."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from llm_explainer.errors import ConfigError

OF_SYSTEMS = frozenset(
    {".DS_Store", "._.DS_Store", ".localized", ".directory", "Thumbs.db", "desktop.ini"}
)
"""Files that systems leave in any folder that somebody looks at: they do not make it full."""


def names_in(folder: Path) -> list[str]:
    """Return, sorted, the names of what people and programs put into a folder.

    What systems leave there is not among them: a folder with nothing else is an empty one.

    Raises:
        OSError: it cannot be read.
    """
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in OF_SYSTEMS)


def check_place(path: Path, is_ours: Callable[[Path], bool], kind: str) -> None:
    """Refuse a place where a file of ours cannot be, or would take the place of somebody's.

    Args:
        path: where it is to be written; a link is followed.
        is_ours: tells whether what is there is a file of the same kind, which may be replaced.
        kind: what the file is, in words.

    Raises:
        ConfigError: something there is none of ours, or there is no such folder.
    """
    try:
        place = path.resolve()
        if not place.parent.is_dir():
            raise ConfigError(
                f"there is no folder {path.parent} to write {path.name} into; make it"
            )
        if place.exists() and not is_ours(place):
            raise ConfigError(f"{path} is there and is no {kind}; name another file")
    except (OSError, RuntimeError) as error:  # a link in a circle is the latter
        reason = getattr(error, "strerror", None) or "it leads nowhere"
        raise ConfigError(f"cannot write {path}: {reason}") from None


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Replace the file at ``path`` with ``data``, all at once.

    The bytes go to a temporary sibling, reach the disk, and only then take the name: a crash or a
    full disk at any moment leaves the file that was there before.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full.
    """
    with open_atomically(path) as file:
        file.write(data)


@contextmanager
def open_atomically(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Give a file to write to; at the end of the ``with`` block it replaces the one at ``path``.

    If the block raises, nothing is left of the new file. What is no ordinary file is not replaced:
    a device, such as ``/dev/null``, would be gone for everybody.

    Raises:
        OSError: as ``write_atomically``; a folder or a device has the name.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if path.exists() and not path.is_file():
        raise FileExistsError(errno.EEXIST, "it is no ordinary file", str(path))
    # A sibling, because a rename is atomic only within one file system; a random name, because
    # two processes may write the same file.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename inside ``folder`` survive a power cut, where the system has a way to."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
