"""Putting adapters on a model of either backend, merging them into its weights, and back.

Each call returns the model to go on with, and leaves the one it was given as it was. They share
the arrays of the base: several adapters on one base are several light models.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from llm_explainer.backend import backend_of
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import HEAD, LoRAConfig


@dataclass(frozen=True)
class _Before:
    """What ``unmerge_lora`` returns; no module itself, so that none of it is a parameter."""

    adapted: Any


def apply_lora(model: Any, config: LoRAConfig, seed: int = 0) -> Any:
    """Return a model that computes what ``model`` does and has adapters, which alone learn.

    ``seed`` draws their As; their Bs are zeros.

    Raises:
        ConfigError: a target that the model lacks; a rank above a matrix's; it has adapters.
    """
    if model.lora is not None:
        raise ConfigError(
            "the model has adapters already; put these on its base, or merge it first"
        )
    rows, rng = config.rows(model.config), np.random.default_rng(seed)
    nn = backend_of(model)
    adapted = model.sharing().freeze()
    adapted.lora, adapted.base_sha256 = config, None  # a merged model remembers another base's
    for layer, group in groupby(rows, key=lambda row: row.layer):
        slices = list(group)
        for owner, name in _owners(adapted, layer):
            base = getattr(owner, name)
            if base is None:
                base = nn.TiedHead(adapted.token_embedding)
            new = nn.LoRALinear(base, slices, config.dropout, config.dora, rng=rng)
            setattr(owner, name, new)
    return adapted


def merge_lora(model: Any) -> Any:
    """Return a model without adapters that computes the same: s · B A is in its weights.

    Weights that had no adapter are shared, and all learn. A head that was tied to the token
    embedding becomes one of its own.

    Raises:
        ConfigError: it has no adapters.
    """
    if model.lora is None:
        raise ConfigError("the model has no adapters to merge; apply or load some first")
    merged = model.sharing()
    merged.lora = None
    for layer in dict.fromkeys(row.layer for row in model.lora.rows(model.config)):
        for owner, name in _owners(merged, layer):
            setattr(owner, name, getattr(owner, name).merged())
        if layer == HEAD:
            merged.config = dataclasses.replace(model.config, tie_embeddings=False)
    merged.before_merging = _Before(model)
    return merged.unfreeze()


def unmerge_lora(model: Any) -> Any:
    """Return the model with adapters from which ``merge_lora`` made this one, bit for bit.

    What was trained since is not in it.

    Raises:
        ConfigError: nothing was merged.
    """
    before = getattr(model, "before_merging", None)
    if before is None:
        raise ConfigError("the model has no merged adapters; unmerge what merge_lora returned")
    return before.adapted


def hold_lengths(model: Any) -> None:
    """Hold the lengths that DoRA divides by, in a model of NumPy's: see ``LoRALinear``."""
    for layer in dict.fromkeys(row.layer for row in model.lora.rows(model.config)):
        for owner, name in _owners(model, layer):
            getattr(owner, name).hold_lengths()


def _owners(model: Any, layer: str) -> Iterator[tuple[Any, str]]:
    """Yield (module, attribute) of a layer, such as "attention.qkv_proj", in every block."""
    if layer == HEAD:
        yield model, HEAD
        return
    part, name = layer.split(".")
    for block in model.blocks:
        yield getattr(block, part), name
