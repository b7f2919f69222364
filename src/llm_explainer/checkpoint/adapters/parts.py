"""The arrays of adapters, target by target: the form between ours and everybody else's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from llm_explainer.checkpoint.adapters.names import Place, place_of
from llm_explainer.checkpoint.tensors import Array
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError, ConfigError
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


@dataclass(frozen=True)
class Foreign:
    """The adapters that other software wrote, on those blocks that it adapted."""

    dropout: float
    rslora: bool
    parts: dict[Key, Part] = field(default_factory=dict)

    def settings(self, source: object) -> LoRAConfig:
        """Return settings under which ours are as these: of the highest rank that a target has.

        Raises:
            CheckpointError: no adapters; some with DoRA and some without; settings that cannot be.
        """
        kinds = {part.magnitude is None for part in self.parts.values()}
        if len(kinds) != 1:
            raise CheckpointError(f"{source}: adapters are expected, all with DoRA or none")
        ranks: dict[str, int] = {}
        alphas: dict[str, float] = {}
        for (_, target), part in self.parts.items():
            ranks[target] = max(ranks.get(target, 0), len(part.a))
        for (_, target), part in self.parts.items():
            root = math.sqrt(ranks[target]) if self.rslora else ranks[target]
            alphas.setdefault(target, part.scale * root)
        rank, alpha = next(iter(ranks.values())), next(iter(alphas.values()))
        try:
            return LoRAConfig(
                rank=rank,
                alpha=alpha,
                dropout=self.dropout,
                targets=tuple(ranks),
                rslora=self.rslora,
                dora=kinds == {False},
                rank_pattern={target: n for target, n in ranks.items() if n != rank},
                alpha_pattern={target: a for target, a in alphas.items() if a != alpha},
            )
        except ConfigError as error:
            raise CheckpointError(f"{source}: {error}") from None


def as_parts(
    config: ModelConfig, module: str, arrays: Mapping[str, Array], source: object
) -> tuple[Part, Place]:
    """Return the arrays of one layer of other software's model, and what the layer is here.

    Raises:
        CheckpointError: no layer of this model; arrays that do not belong together or to it.
    """
    place = place_of(config, module)
    if place is None or not {"a", "b"} <= arrays.keys():
        refuse(source, module, "is no layer of this base with both A and B")
    part = Part(arrays["a"], arrays["b"], 1.0, arrays.get("magnitude"))
    rows = LoRAConfig(rank=1, targets=place.targets).rows(config)
    n_rows, inputs = sum(row.n_rows for row in rows), rows[0].inputs
    rank = max(1, len(part.a))
    shapes = {"A": (rank, inputs), "B": (n_rows, rank), "the magnitude": (n_rows,)}
    for (name, expected), array in zip(
        shapes.items(), (part.a, part.b, part.magnitude), strict=True
    ):
        if array is not None and array.shape != expected:
            refuse(source, module, f"has {name} of shape {array.shape}, and here it is {expected}")
    return part, place


def refuse(source: object, name: str, reason: str) -> NoReturn:
    """Raise the error for a tensor or layer of this name.

    Raises:
        CheckpointError: always.
    """
    raise CheckpointError(f"{source}: {name!r} {reason}")


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
    """Return arrays under our names, brought to the ranks and scales that ``lora`` says."""
    arrays: dict[str, Array] = {}
    for block, prefix, index, _, rows in _slots(lora, config):
        part = widened(parts[block, rows.target], rows.rank, rows.scale)
        name = f"{prefix}.lora_a"
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
