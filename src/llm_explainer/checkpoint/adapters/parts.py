"""The arrays of adapters, target by target: the form between ours and everybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from llm_explainer.checkpoint.tensors import Array
from llm_explainer.config import ModelConfig
from llm_explainer.lora_config import HEAD, AdaptedRows, LoRAConfig
from llm_explainer.tree import flatten

Key = tuple[int, str]
"""Block (0 for the head) and target."""


@dataclass(frozen=True)
class Part:
    """What is added to a target's rows in one block: scale · B A; with DoRA their lengths too."""

    a: Array  # (r, I)
    b: Array  # (rows, r)
    scale: float
    magnitude: Array | None = None  # (rows,)


def arrays_of(model: Any) -> dict[str, Array]:
    """Return the arrays of a model's adapters by dotted names."""
    return {name: np.asarray(array) for name, array in flatten(model.trainable()).items()}


def split(lora: LoRAConfig, config: ModelConfig, arrays: Mapping[str, Array]) -> dict[Key, Part]:
    """Return the parts that arrays under our names hold."""
    parts = {}
    for block, prefix, index, first, rows in _slots(lora, config):
        a = arrays[f"{prefix}.lora_a"][first : first + rows.rank]
        b = arrays[f"{prefix}.slices.{index}.lora_b"]
        magnitude = arrays.get(f"{prefix}.slices.{index}.magnitude")
        parts[block, rows.target] = Part(a, b, rows.scale, magnitude)
    return parts


def join(lora: LoRAConfig, config: ModelConfig, parts: Mapping[Key, Part]) -> dict[str, Array]:
    """Return arrays under our names; the parts are of the ranks and scales that ``lora`` says."""
    arrays: dict[str, Array] = {}
    for block, prefix, index, _, rows in _slots(lora, config):
        part, name = parts[block, rows.target], f"{prefix}.lora_a"
        arrays[name] = np.concatenate([arrays[name], part.a]) if name in arrays else part.a
        arrays[f"{prefix}.slices.{index}.lora_b"] = part.b
        if part.magnitude is not None:
            arrays[f"{prefix}.slices.{index}.magnitude"] = part.magnitude
    return arrays


def widened(part: Part, rank: int, scale: float) -> Part:
    """Return a part that computes the same with another scale, and zeros up to a higher rank."""
    n_more = rank - len(part.a)
    a = np.pad(part.a, ((0, n_more), (0, 0)))
    b = part.b if scale == part.scale else part.b * np.float32(part.scale / scale)
    return Part(a, np.pad(b, ((0, 0), (0, n_more))), scale, part.magnitude)


def _slots(lora: LoRAConfig, config: ModelConfig) -> list[tuple[int, str, int, int, AdaptedRows]]:
    """Return (block, the layer's dotted name, slice, its first row of A, rows) of every slice."""
    slots: list[tuple[int, str, int, int, AdaptedRows]] = []
    places: dict[str, tuple[int, int]] = {}
    for rows in lora.rows(config):
        index, first = places.get(rows.layer, (0, 0))
        places[rows.layer] = index + 1, first + rows.rank
        for block in range(1 if rows.layer == HEAD else config.n_layers):
            prefix = rows.layer if rows.layer == HEAD else f"blocks.{block}.{rows.layer}"
            slots.append((block, prefix, index, first, rows))
    return slots
