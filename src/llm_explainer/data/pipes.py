"""Text that comes once, from a pipe, and is to be read as often as wanted."""

from __future__ import annotations

import functools
import io
import os
import shutil
import stat
import sys
import tempfile
import weakref
from pathlib import Path
from typing import BinaryIO

from llm_explainer.errors import CorpusError

STDIN = "-"


class Kept:
    """What a pipe brought, in a file without a name that goes away with this process."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._name, self._file = name, file
        weakref.finalize(self, file.close)

    def __str__(self) -> str:
        return self._name

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """Return a reader from the beginning, beside which there may be others."""
        return io.BufferedReader(_Reader(self._file))


class _Reader(io.RawIOBase):
    """Reads a file from a place of its own, whoever else reads it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._place = file, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = os.pread(self._file.fileno(), len(buffer), self._place)
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)


def is_pipe(name: str | Path) -> bool:
    """Return whether a corpus of that name can be read only once: ``-``, a FIFO, <(a command)."""
    if str(name) == STDIN:
        return True
    try:
        mode = Path(name).stat().st_mode
    except (OSError, ValueError):  # no such file, or no name of one
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


@functools.cache  # it comes once, and a corpus may be asked for twice
def keep(name: str) -> Kept:
    """Read a pipe to its end and keep what came.

    Raises:
        CorpusError: it cannot be read, or nothing comes because it is a terminal.
    """
    if name == STDIN and sys.stdin.isatty():
        raise CorpusError(
            "corpus - is what comes through a pipe, and there is none; write `... | ` before "
            "the command, or name a text file or folder"
        )
    file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as what it is kept for
    try:
        if name == STDIN:
            shutil.copyfileobj(sys.stdin.buffer, file)
        else:
            with Path(name).open("rb") as pipe:
                shutil.copyfileobj(pipe, file)
        file.flush()
    except OSError as error:
        file.close()
        raise CorpusError(f"cannot read {name}: {error.strerror or error}") from error
    return Kept("the pipe" if name == STDIN else name, file)
