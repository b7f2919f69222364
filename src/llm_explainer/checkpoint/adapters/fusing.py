"""Between targets, which people name, and GPT-2's ``c_attn``, which is three of them in one layer.

An A and a B of c_attn do exactly what those of q, k and v do: the As stacked, the Bs as blocks on a
diagonal, of a rank that is the sum of theirs. The other way round, each of the three has all of A,
and its own rows of B.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from llm_explainer.checkpoint.adapters.names import FUSED
from llm_explainer.checkpoint.adapters.parts import Key, Part, widened
from llm_explainer.checkpoint.tensors import Array
from llm_explainer.config import ModelConfig


def by_layer(
    config: ModelConfig, parts: Mapping[Key, Part], lengths: Mapping[int, Array]
) -> dict[Key, Part]:
    """Return a part for each layer of other software's model, under its first target.

    ``lengths`` of the rows of each block's c_attn are for DoRA, where not all of it is adapted.
    """
    if config.family != "gpt2":
        return dict(parts)
    layers: dict[Key, Part] = {}
    for block, target in parts:
        if target not in FUSED:
            layers[block, target] = parts[block, target]
        elif not any((block, other) in layers for other in FUSED):
            own = {t: parts[block, t] for t in FUSED if (block, t) in parts}
            layers[block, target] = _fuse(config, own, lengths.get(block))
    return layers


def by_target(
    config: ModelConfig, whole: Part, block: int, targets: tuple[str, ...]
) -> dict[Key, Part]:
    """Return the part of each target of a layer, which is one, or q, k and v."""
    if len(targets) == 1:
        return {(block, targets[0]): whole}
    parts = {}
    for target, rows in _rows(config).items():
        magnitude = None if whole.magnitude is None else whole.magnitude[rows]
        parts[block, target] = Part(whole.a, whole.b[rows], whole.scale, magnitude)
    return parts


def _fuse(config: ModelConfig, own: dict[str, Part], lengths: Array | None) -> Part:
    scale = next(iter(own.values())).scale
    own = {target: widened(part, len(part.a), scale) for target, part in own.items()}
    rank, rows = sum(len(part.a) for part in own.values()), _rows(config)
    b = np.zeros((3 * config.d_model, rank), np.float32)
    magnitude = None if lengths is None else lengths.copy()  # (3D,)
    first = 0
    for target, part in own.items():
        b[rows[target], first : first + len(part.a)] = part.b
        first += len(part.a)
        if magnitude is not None and part.magnitude is not None:
            magnitude[rows[target]] = part.magnitude
    return Part(np.concatenate([part.a for part in own.values()]), b, scale, magnitude)


def _rows(config: ModelConfig) -> dict[str, slice]:
    """Return which rows of c_attn are queries, keys and values."""
    d = config.d_model
    return {target: slice(i * d, (i + 1) * d) for i, target in enumerate(FUSED)}
