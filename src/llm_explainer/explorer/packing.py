"""Arrays and facts as bytes for a page: compact, and with nothing in them that markup could mean.

The layout, all little-endian: the length of the facts (uint32), the facts as JSON, then the arrays.
An array's numbers are cut into bytes, all first bytes before all second ones, because bytes of like
meaning compress better side by side. All is deflated, and then base85 for HTML.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, Literal

import numpy as np

from llm_explainer.explorer.base85 import to_base85
from llm_explainer.plain.contract import Array

Kind = Literal["float32", "float24", "float16", "int8", "uint32"]
"""How exact the numbers of an array are on the page.

float24 is float32 without its last byte: four digits. float16 has three, after a division by a
power of two that uses its range. int8 has two: steps of 1/127 of the largest number in its row.
"""


def pack(facts: dict[str, Any], arrays: dict[str, tuple[Array, Kind]]) -> str:
    """Return facts and arrays as base85; equal arrays are stored once."""
    index: dict[str, dict[str, Any]] = {}
    seen: dict[tuple[str, bytes], dict[str, Any]] = {}
    parts: list[bytes] = []
    at = 0
    for name, (array, kind) in arrays.items():
        data, scale = encode(array, kind)
        known = seen.get((kind, data))
        if known is None:
            known = seen[kind, data] = {"kind": kind, "at": at, "scale": scale}
            parts.append(data)
            at += len(data)
        index[name] = {**known, "scale": scale, "shape": array.shape}
    head = json.dumps({**facts, "arrays": index}, separators=(",", ":")).encode()
    whole = b"".join([len(head).to_bytes(4, "little"), head, *parts])
    return to_base85(zlib.compress(whole, 9))


def encode(array: Array, kind: Kind) -> tuple[bytes, float]:
    """Return an array's bytes, plane by plane, and what its numbers are to be multiplied by."""
    if kind == "uint32":
        return _planes(array.astype("<u4").view(np.uint8).reshape(array.size, 4)), 1.0
    numbers = array.astype("<f4").ravel()
    if kind == "int8":
        return _in_steps(numbers.reshape(-1, array.shape[-1])), 1.0
    if kind == "float16":
        scale = _power_of_two(numbers)
        return _planes((numbers / scale).astype("<f2").view(np.uint8).reshape(-1, 2)), scale
    if kind == "float24":
        rounded = (numbers.view("<u4").astype(np.uint64) + 0x80).astype("<u4")
        return _planes(rounded.view(np.uint8).reshape(-1, 4)[:, 1:]), 1.0
    return _planes(numbers.view(np.uint8).reshape(-1, 4)), 1.0


def _planes(numbers: Array) -> bytes:
    """Return all first bytes, then all second ones: (n, bytes of a number) -> bytes."""
    data: bytes = numbers.T.tobytes()
    return data


def _power_of_two(numbers: Array) -> float:
    """Return what brings the largest number near the end of float16's range."""
    largest = float(np.abs(numbers).max(initial=0))
    return 1.0 if largest == 0 else float(2.0 ** (np.ceil(np.log2(largest)) - 15))


def _in_steps(rows: Array) -> bytes:
    """Return each row's step, float32, then the numbers as so many steps, -127 to 127."""
    steps = np.abs(rows).max(-1, initial=0).astype("<f4") / np.float32(127)  # (R,)
    counts = np.rint(rows / np.where(steps, steps, 1)[:, None]).astype(np.int8)
    data: bytes = steps.tobytes() + counts.tobytes()
    return data
