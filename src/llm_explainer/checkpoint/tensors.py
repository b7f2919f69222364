"""Named arrays in safetensors files, which hold numbers and nothing else."""

from __future__ import annotations

import math
from contextlib import ExitStack
from pathlib import Path
from textwrap import shorten
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize, safe_open
from safetensors.numpy import save_file

from llm_explainer.checkpoint.json_objects import require_file
from llm_explainer.errors import CheckpointError

Array = NDArray[Any]
Shape = tuple[int, ...]

_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float64"}


def write_tensors(path: Path, arrays: dict[str, Array]) -> None:
    """Write float32 arrays, or packed words of uint32; what is contiguous is not copied.

    Raises:
        CheckpointError: an array of another type.
        OSError: no space, no permission.
    """
    for name, array in arrays.items():
        if array.dtype not in (np.float32, np.uint32):
            raise CheckpointError(f"{name} is {array.dtype}; checkpoints hold float32")
    # safetensors takes the memory as it lies, so it must lie in the order of the indices.
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        path.touch()
        mode = path.stat().st_mode & 0o777  # as the umask has it; safetensors would take 0600
        save_file(contiguous, path, metadata={"format": "pt"})  # transformers wants to be told
        path.chmod(mode)
    except SafetensorError as error:
        raise OSError(0, str(error)) from None


class Tensors(Protocol):
    """Named tensors that are read one at a time, whatever files they are in."""

    shapes: dict[str, Shape]

    @property
    def n_numbers(self) -> int:
        """How many numbers there are in all."""

    def check_type(self, name: str) -> None:
        """Refuse a tensor that is no float."""

    def read(self, name: str) -> Array:
        """Return a tensor as float32, all of it finite."""


class TensorFiles:
    """The tensors of one file, or of several that belong together, read one at a time.

    Use it in a ``with`` statement. Opening checks the whole index (names, types, shapes, and that
    the tensors fill the file exactly) and reads no numbers.

    Raises:
        CheckpointError: a file that is missing or damaged; a tensor that is there twice.
        OSError: a file cannot be read.
    """

    def __init__(self, paths: list[Path]) -> None:
        self.shapes: dict[str, Shape] = {}
        self._homes: dict[str, tuple[Path, Any]] = {}
        self._raw: dict[Path, dict[str, bytearray]] = {}
        with ExitStack() as stack:
            for path in paths:
                self._open(path, stack)
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def other_type(self) -> str | None:
        """Return the type beside float32 that floats have here, if any does."""
        dtypes = {self._dtype(name) for name in self._homes}
        return next((_NAMES[t] for t in sorted(dtypes) if t in _NAMES and t != "F32"), None)

    @property
    def n_numbers(self) -> int:
        """How many numbers there are in all."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def read(self, name: str) -> Array:
        """Return a tensor as float32.

        Raises:
            CheckpointError: it is no float, or holds NaN or infinity.
            OSError: the file can no longer be read.
        """
        path, file = self._homes[name]
        self.check_type(name)
        if self._dtype(name) == "BF16":
            array = self._read_bfloat16(path, name)
        else:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinity
                array = file.get_tensor(name).astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            raise CheckpointError(
                f"{path}: {name} holds NaN or infinity; it is damaged, or its training diverged"
            )
        return array

    def read_words(self, name: str) -> Array:
        """Return a tensor of unsigned numbers of 32 bits.

        Raises:
            CheckpointError: it is of another type.
        """
        path, file = self._homes[name]
        if self._dtype(name) != "U32":
            raise CheckpointError(
                f"{path}: {name!r} has type {self._dtype(name)}; packed numbers are U32"
            )
        words: Array = file.get_tensor(name)
        return words

    def check_type(self, name: str) -> None:
        """Refuse a tensor that is no float.

        Raises:
            CheckpointError: says of what type it is.
        """
        if self._dtype(name) not in _NAMES:
            raise CheckpointError(
                f"{self._homes[name][0]}: {name!r} has type {self._dtype(name)}; "
                f"{', '.join(_NAMES)} are supported"
            )

    def _dtype(self, name: str) -> str:
        dtype: str = self._homes[name][1].get_slice(name).get_dtype()
        return dtype

    def _open(self, path: Path, stack: ExitStack) -> None:
        require_file(path)
        try:
            file = stack.enter_context(safe_open(path, framework="np"))
            names = file.keys()
        except SafetensorError as error:
            reason = shorten(str(error), 300, placeholder=" ...")  # of all types there are, say
            raise CheckpointError(f"{path} is damaged or no safetensors file: {reason}") from None
        for name in names:
            entry = file.get_slice(name)
            if name in self.shapes:
                raise CheckpointError(f"{path}: {name!r} is in another file as well")
            self.shapes[name] = tuple(entry.get_shape())
            self._homes[name] = path, file

    def _read_bfloat16(self, path: Path, name: str) -> Array:
        """Widen bfloat16, a type that NumPy lacks: it is the upper half of a float32's bits."""
        if path not in self._raw:
            entries = deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
            self._raw[path] = {key: entry["data"] for key, entry in entries}
        halves = np.frombuffer(self._raw[path][name], "<u2").astype(np.uint32)
        halves <<= 16
        return halves.view(np.float32).reshape(self.shapes[name])
