"""UTF-8 files read block by block, so that a file may be larger than memory."""

from __future__ import annotations

import codecs
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

BLOCK_BYTES = 1 << 20


class NotUtf8Error(Exception):
    """A file that is not UTF-8: at which byte; to be said behind the file's name.

    Args:
        error: of decoding a part of the file.
        offset: the byte of the file at which that part begins.
    """

    def __init__(self, error: UnicodeDecodeError, offset: int) -> None:
        byte = error.object[error.start]
        super().__init__(
            f"is not UTF-8: byte {byte:#04x} at offset {offset + error.start:,}; "
            "save the file as UTF-8 text"
        )


class Readable(Protocol):
    """What can be opened for reading as a path can."""

    def open(self, mode: Literal["rb"], /) -> BinaryIO | io.BufferedReader:
        """Return a reader of bytes from the beginning."""


def read_text_blocks(
    path: str | os.PathLike[str] | Readable, *, block_bytes: int | None = None
) -> Iterator[str]:
    """Yield a UTF-8 file in blocks, line ends as they are, no character cut in two.

    Args:
        path: of the file, or what opens as one.
        block_bytes: how much is read at a time; None is ``BLOCK_BYTES``, a mebibyte.

    Raises:
        NotUtf8Error: says at which byte.
        OSError: a file that is missing or unreadable.
        ValueError: a path that cannot be one.
    """
    decoder, n_read = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        source = Path(path) if isinstance(path, (str, os.PathLike)) else path
        with source.open("rb") as file:
            while data := file.read(block_bytes or BLOCK_BYTES):
                n_read += len(data)
                yield decoder.decode(data)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:  # of what was read last, and half a character before it
        raise NotUtf8Error(error, n_read - len(error.object)) from None
