"""The front of a GGUF file: what it says of itself, and where its tensors lie.

GGUF is llama.cpp's format: one file with settings, a tokenizer and tensors, in blocks of several
kinds of numbers (the specification is docs/gguf.md of ggml). Nothing in it is trusted: a count is
believed only as far as the file could hold it, and no tensor reaches beyond the file's end.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from llm_explainer.checkpoint.tensors import Shape
from llm_explainer.errors import CheckpointError

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MOST_TENSORS, _MOST_DIMS, _MOST_NAME = 1 << 16, 4, 1 << 10
_STRING, _ARRAY = 8, 9
_NUMBERS = {  # the types of values, by their numbers
    0: "<u1",
    1: "<i1",
    2: "<u2",
    3: "<i2",
    4: "<u4",
    5: "<i4",
    6: "<f4",
    7: "?",
    10: "<u8",
    11: "<i8",
    12: "<f8",
}
BLOCKS = {  # kinds of numbers: (name, numbers in a block, bytes of a block)
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    8: ("Q8_0", 32, 34),
    12: ("Q4_K", 256, 144),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
}
"""The kinds that are read. A block of the quantised ones has its scales before its numbers."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies."""

    shape: Shape  # rows first, as in NumPy; the file has it the other way round
    kind: int  # a key of BLOCKS
    start: int  # of its bytes, from the file's beginning
    n_bytes: int


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself."""

    values: dict[str, Any]  # settings by name: numbers, texts, and lists of them
    tensors: dict[str, StoredTensor]


def is_gguf(path: Path) -> bool:
    """Whether a path names a file that is, or calls itself, a GGUF.

    Raises:
        OSError: it cannot be read.
    """
    if not path.is_file():
        return False
    if path.suffix.lower() == ".gguf":
        return True
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read_header(path: Path) -> Header:
    """Return the settings of a GGUF file, and where its tensors lie; no tensor is read.

    Raises:
        CheckpointError: damaged, cut off, or of a version or kind that we do not read.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size < 24:
            raise CheckpointError(f"{path} is too short for a GGUF; it is damaged")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _Reader(data, path).header()


class _Reader:
    """Takes values from the file's bytes, one after the other."""

    def __init__(self, data: mmap.mmap, path: Path) -> None:
        self._data, self._path, self._at = data, path, 0

    def header(self) -> Header:
        if self._take(4) != MAGIC:
            self._refuse("does not begin as a GGUF does")
        if (version := self._number("<u4")) not in _VERSIONS:
            self._refuse(f"is GGUF version {version}; 2 and 3 are read")
        n_tensors, n_values = self._count("<u8", 24), self._count("<u8", 13)
        if n_tensors > _MOST_TENSORS:
            self._refuse(f"claims {n_tensors} tensors")
        values: dict[str, Any] = {}
        for _ in range(n_values):
            name = self._string(_MOST_NAME)
            if name in values:
                self._refuse(f"says {name!r} twice")
            values[name] = self._value(self._number("<u4"))
        return Header(values, self._tensors(n_tensors, values))

    def _tensors(self, n_tensors: int, values: dict[str, Any]) -> dict[str, StoredTensor]:
        claimed: dict[str, tuple[Shape, int, int]] = {}
        for _ in range(n_tensors):
            name = self._string(_MOST_NAME)
            if name in claimed:
                self._refuse(f"has the tensor {name!r} twice")
            if not 1 <= (n_dims := self._number("<u4")) <= _MOST_DIMS:
                self._refuse(f"gives {name!r} {n_dims} dimensions")
            shape = tuple(self._number("<u8") for _ in range(n_dims))[::-1]
            claimed[name] = shape, self._number("<u4"), self._number("<u8")
        alignment = values.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 1 <= alignment <= 1 << 20:
            self._refuse(f"has alignment {alignment!r}")
        first = -(-self._at // alignment) * alignment
        return {name: self._stored(name, *claim, first) for name, claim in claimed.items()}

    def _stored(self, name: str, shape: Shape, kind: int, offset: int, first: int) -> StoredTensor:
        if kind not in BLOCKS:
            known = ", ".join(block[0] for block in BLOCKS.values())
            self._refuse(f"holds {name!r} in kind {kind} of numbers; {known} are read")
        label, in_block, block_bytes = BLOCKS[kind]
        n_numbers = 1
        for length in shape:
            n_numbers *= length  # Python's whole numbers do not overflow
        if n_numbers == 0 or shape[-1] % in_block:
            self._refuse(f"gives {name!r} the shape {shape}, which {label} cannot have")
        n_bytes = n_numbers // in_block * block_bytes
        if first + offset + n_bytes > len(self._data):
            self._refuse(f"ends before its tensor {name!r} does; it is cut off")
        return StoredTensor(shape, kind, first + offset, n_bytes)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            return self._array()
        if kind not in _NUMBERS:
            self._refuse(f"holds a value of kind {kind}, which GGUF has not")
        return self._number(_NUMBERS[kind])

    def _array(self) -> list[Any]:
        kind = self._number("<u4")
        if kind == _STRING:
            return [self._string() for _ in range(self._count("<u8", 8))]
        if kind not in _NUMBERS:
            self._refuse(f"holds a list of kind {kind}; numbers or texts are expected")
        dtype = np.dtype(_NUMBERS[kind])
        n_items = self._count("<u8", dtype.itemsize)
        items: list[Any] = np.frombuffer(self._take(n_items * dtype.itemsize), dtype).tolist()
        return items

    def _string(self, most: int | None = None) -> str:
        n_bytes = self._count("<u8", 1)
        if most is not None and n_bytes > most:
            self._refuse(f"has a name of {n_bytes} bytes")
        try:
            return self._take(n_bytes).decode()
        except UnicodeDecodeError:
            self._refuse("holds a text that is not UTF-8")

    def _count(self, dtype: str, least_bytes: int) -> int:
        """Return how many things follow, each of at least so many bytes."""
        count = int(self._number(dtype))
        if count * least_bytes > len(self._data) - self._at:
            self._refuse(f"claims {count} entries, and ends before")
        return count

    def _number(self, dtype: str) -> Any:
        data = self._take(np.dtype(dtype).itemsize)
        return struct.unpack(_FORMATS[dtype], data)[0]

    def _take(self, n_bytes: int) -> bytes:
        if n_bytes > len(self._data) - self._at:
            self._refuse("ends in the middle of its header")
        self._at += n_bytes
        return self._data[self._at - n_bytes : self._at]

    def _refuse(self, reason: str) -> NoReturn:
        raise CheckpointError(f"{self._path} {reason}; it is damaged, or no GGUF that we can read")


_FORMATS = {
    **{"<u1": "<B", "<i1": "<b", "<u2": "<H", "<i2": "<h", "<u4": "<I", "<i4": "<i"},
    **{"<f4": "<f", "?": "<?", "<u8": "<Q", "<i8": "<q", "<f8": "<d"},
}
