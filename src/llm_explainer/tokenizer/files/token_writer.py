"""Writing token files: ids go to disk as they come, and the file appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llm_explainer.errors import CorpusError
from llm_explainer.files import open_atomically
from llm_explainer.tokenizer.base import token_dtype

DTypeName = Literal["uint16", "uint32"]


class TokenWriter:
    """Writes ids to a file in NumPy's ``.npy`` format, a flat array of uint16 or uint32.

    Args:
        file: where to, at its beginning.
        dtype: of the ids in the file.
    """

    def __init__(self, file: BinaryIO, dtype: np.dtype[np.unsignedinteger]) -> None:
        self._file, self._dtype = file, dtype
        self.n_tokens = 0
        self._write_header()  # to be overwritten when the length is known
        self._start = file.tell()

    def append(self, ids: NDArray[np.integer]) -> None:
        """Write ids (n,) behind those that are there."""
        self._file.write(ids.astype(self._dtype, copy=False).tobytes())
        self.n_tokens += len(ids)

    def finish(self) -> None:
        """Write down how many ids there are."""
        self._file.seek(0)
        self._write_header()
        assert self._file.tell() == self._start  # NumPy leaves room in the header to grow

    def _write_header(self) -> None:
        header = {"descr": self._dtype.str, "fortran_order": False, "shape": (self.n_tokens,)}
        np.lib.format.write_array_header_1_0(self._file, header)


@contextmanager
def open_token_file(
    path: str | os.PathLike[str], vocab_size: int, dtype: DTypeName | None = None
) -> Iterator[TokenWriter]:
    """Give a writer; at the end of the ``with`` block its file replaces the one at ``path``.

    Args:
        path: of the token file.
        vocab_size: how many ids there are.
        dtype: "uint16" or "uint32"; None is the smallest that holds every id.

    Raises:
        CorpusError: a dtype too small for the vocabulary; a file that cannot be written; no ids at
            all. A file that was there before is left whole. What else raises an ``OSError`` in the
            block is taken for a failure to write.
    """
    smallest = token_dtype(vocab_size)
    if dtype is not None and dtype not in get_args(DTypeName):
        raise CorpusError(f"dtype is {dtype!r}; choose uint16 or uint32, or none for the smallest")
    if dtype == "uint16" and smallest != np.uint16:
        raise CorpusError(
            f"dtype uint16 holds 65,536 ids and the vocabulary has {vocab_size:,}; use uint32"
        )
    if Path(path).is_dir() or "\0" in str(path):
        raise CorpusError(f"cannot write token file {str(path)!r}: it is no name of a file")
    try:
        with open_atomically(path) as file:
            writer = TokenWriter(file, np.dtype(dtype or smallest))
            yield writer
            if not writer.n_tokens:
                raise CorpusError(f"no tokens for {path}: the text is empty; it takes some text")
            writer.finish()
    except OSError as error:
        raise CorpusError(
            f"cannot write token file {path}: {error.strerror or error}; choose a folder that "
            f"exists, is writable and has room"
        ) from error
