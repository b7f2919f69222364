"""Weights in few bits, as mlx-lm stores them: whole numbers, packed, with a scale for each group.

A row of a matrix is cut into groups of 64. A number w of a group is kept as q = round((w - bias) /
scale), from 0 to 2^bits - 1, with scale and bias the group's own; as many q as fit lie in one
unsigned number of 32 bits, the first in the lowest. What ``mx.quantize`` computes, ``pack`` does
here without MLX, so that any machine can write such a model, and ``unpack`` reads it back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.checkpoint.json_objects import JsonObject
from llm_explainer.checkpoint.tensors import Array, Shape, TensorFiles
from llm_explainer.errors import CheckpointError

GROUP_SIZE = 64
_BITS, _GROUPS = (2, 4, 8), (32, 64, 128)
KEYS = ("quantization", "quantization_config")
"""Where ``config.json`` says how weights are packed; mlx-lm writes both."""

_SCALES, _BIASES = ".scales", ".biases"


@dataclass(frozen=True)
class Packing:
    """How the numbers are kept."""

    bits: int
    group_size: int = GROUP_SIZE

    @property
    def in_word(self) -> int:
        """How many numbers lie in 32 bits."""
        return 32 // self.bits

    def takes(self, shape: Shape) -> bool:
        """Whether a tensor of this shape can be packed: a matrix with whole groups in its rows."""
        return len(shape) == 2 and shape[1] % self.group_size == 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as mlx-lm's ``config.json`` says it."""
        return {"group_size": self.group_size, "bits": self.bits}


def read_packing(values: JsonObject) -> Packing | None:
    """Return how a directory's weights are packed; None where they are not.

    Raises:
        CheckpointError: a way to quantise that is not mlx-lm's of 2, 4 or 8 bits for all.
    """
    found = {key: values.section(key) for key in KEYS if values.get(key) is not None}
    read = set()
    for key, section in found.items():
        bits, group_size = section.get("bits"), section.get("group_size")
        is_affine = section.get("mode") in (None, "affine")
        known = {"bits", "group_size", "mode"}.issuperset(section.names())
        if not (known and is_affine and bits in _BITS and group_size in _GROUPS):
            values.refuse(
                key,
                "quantised weights are not supported, but for those of mlx-lm in 2, 4 or 8 bits "
                "and groups of 32, 64 or 128",
            )
        read.add(Packing(int(bits), int(group_size)))
    if len(read) > 1:
        values.refuse(KEYS[1], f"{KEYS[0]} beside it says otherwise; leave one out")
    return read.pop() if read else None


def pack(weight: Array, packing: Packing) -> tuple[Array, Array, Array]:
    """Return the packed numbers (O, I / in_word), and the scales and biases (O, I / group_size).

    The number of a group that is farthest from zero is kept all but exactly, and so is zero: the
    scale is made so that it fits a whole number of times between the two.
    """
    groups = weight.reshape(len(weight), -1, packing.group_size)  # (O, groups, G)
    low, high = groups.min(-1), groups.max(-1)
    most = np.float32(2**packing.bits - 1)
    is_low = np.abs(low) > np.abs(high)  # which end is farther from zero
    scales = np.maximum((high - low) / most, np.float32(1e-7))
    scales = np.where(is_low, scales, -scales)
    edge = np.where(is_low, low, high)
    n_steps = np.rint(edge / scales)  # from that end to zero
    has_steps = n_steps != 0
    scales = np.where(has_steps, edge / np.where(has_steps, n_steps, 1), scales)
    biases = np.where(has_steps, edge, np.float32(0))
    steps = np.rint((groups - biases[..., None]) / scales[..., None])
    numbers = np.clip(steps, 0, most).astype(np.uint32).reshape(len(weight), -1, packing.in_word)
    shifts = np.arange(packing.in_word, dtype=np.uint32) * np.uint32(packing.bits)
    words = np.bitwise_or.reduce(numbers << shifts, axis=-1)  # (O, I / in_word)
    return words, scales.astype(np.float32), biases.astype(np.float32)


def unpack(words: Array, scales: Array, biases: Array, packing: Packing) -> Array:
    """Return the matrix (O, I) that the packed numbers stand for, float32."""
    shifts = np.arange(packing.in_word, dtype=np.uint32) * np.uint32(packing.bits)
    numbers = (words[..., None] >> shifts) & np.uint32(2**packing.bits - 1)
    groups = numbers.reshape(*scales.shape, packing.group_size).astype(np.float32)
    with np.errstate(all="ignore"):  # damaged scales become infinity, which is looked for
        groups *= scales[..., None]
        groups += biases[..., None]
    whole: Array = groups.reshape(len(words), -1)
    return whole


class PackedTensors:
    """The tensors of a directory of mlx-lm's, as if they had been written whole.

    Args:
        files: which stay open for as long as this is used.
        packing: how those are packed that are.
        source: their directory, for messages.
        turns: whether the matrices of blocks are to be turned over: mlx-lm packs GPT-2's as (out,
            in), which all others store as (in, out).

    Raises:
        CheckpointError: parts that do not fit together.
    """

    def __init__(self, files: TensorFiles, packing: Packing, source: Path, *, turns: bool) -> None:
        self._files, self._packing, self._source, self._turns = files, packing, source, turns
        self.shapes: dict[str, Shape] = {}
        self._packed: set[str] = set()
        for name, shape in files.shapes.items():
            module = name.removesuffix(".weight")
            if name.endswith((_SCALES, _BIASES)) and f"{name[:-7]}.weight" in files.shapes:
                continue
            if f"{module}{_SCALES}" in files.shapes:
                shape = self._whole(module, shape)
                self._packed.add(name)
            self.shapes[name] = shape[::-1] if self._is_turned(name, shape) else shape

    def other_type(self) -> str | None:
        """Say how most numbers are kept."""
        return f"packed in {self._packing.bits} bits"

    @property
    def n_numbers(self) -> int:
        """How many numbers there are in all."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def check_type(self, name: str) -> None:
        """Refuse a tensor that is neither packed nor a float.

        Raises:
            CheckpointError: says of what type it is.
        """
        if name not in self._packed:
            self._files.check_type(name)

    def read(self, name: str) -> Array:
        """Return a tensor as float32.

        Raises:
            CheckpointError: it holds NaN or infinity, or is of another type.
            OSError: the file can no longer be read.
        """
        if name in self._packed:
            module = name.removesuffix(".weight")
            scales, biases = (self._files.read(f"{module}{kind}") for kind in (_SCALES, _BIASES))
            array = unpack(self._files.read_words(name), scales, biases, self._packing)
            if not np.isfinite(array).all():
                raise CheckpointError(
                    f"{self._source}: {name} is no longer finite when unpacked; it is damaged"
                )
        else:
            array = self._files.read(name)
        return array.T if self._is_turned(name, array.shape) else array

    def _is_turned(self, name: str, shape: Shape) -> bool:
        return self._turns and name.startswith("model.h.") and len(shape) == 2

    def _whole(self, module: str, packed: Shape) -> Shape:
        """Return the shape (O, I) that a packed tensor stands for."""
        scales = self._files.shapes[f"{module}{_SCALES}"]
        biases = self._files.shapes.get(f"{module}{_BIASES}")
        width = packed[-1] * self._packing.in_word if packed else 0
        groups = (*packed[:-1], width // self._packing.group_size)
        if len(packed) != 2 or not self._packing.takes((packed[0], width)):
            raise CheckpointError(
                f"{self._source}: {module} has shape {packed}, which is none of packed numbers"
            )
        if scales != groups or biases != groups:
            raise CheckpointError(
                f"{self._source}: {module} has scales {scales} and biases {biases}, and its "
                f"numbers take {groups}"
            )
        return packed[0], width
