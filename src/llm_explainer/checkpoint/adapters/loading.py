"""Reading adapters. Nothing in them is trusted: all is checked before the model takes it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llm_explainer.adapters import apply_lora
from llm_explainer.backend import backend_of
from llm_explainer.checkpoint.adapters import mlx_lm, peft
from llm_explainer.checkpoint.adapters.base import ADAPTER_CONFIG, SECTION, fingerprint
from llm_explainer.checkpoint.adapters.parts import arrays_of, join, split
from llm_explainer.checkpoint.adapters.saving import OURS
from llm_explainer.checkpoint.checksums import verify_checksums
from llm_explainer.checkpoint.json_objects import JsonObject, read_object
from llm_explainer.checkpoint.reading import reading
from llm_explainer.checkpoint.tensors import Array, TensorFiles
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.tree import flatten, unflatten


def load_adapter(path: str | os.PathLike[str], base_model: Any) -> Any:
    """Return a model with the adapters of a directory on ``base_model``, which stays as it is.

    Args:
        path: what ``save_adapter`` wrote, or PEFT, or mlx-lm; or a run's folder.
        base_model: of either backend, as it was when the adapters were trained.

    Raises:
        CheckpointError: missing, damaged, made for another base, or of a kind that we lack.
    """
    with reading(path) as directory:
        verify_checksums(directory, [ADAPTER_CONFIG])
        source = directory / ADAPTER_CONFIG
        values = JsonObject(read_object(source), source)
        section = values.section(SECTION)
        if not section.names():
            return load_foreign(directory, values, base_model)
        expected = section.get("base_sha256")
        if expected != fingerprint(base_model):
            raise CheckpointError(
                f"the adapter {directory} was made for another base than this model: that one is "
                f"{section.get('base')}"
            )
        lora = read_lora(section, source)
        adapted = _apply(base_model, lora, source)
        verify_checksums(directory, [OURS])
        with TensorFiles([directory / OURS]) as tensors:
            arrays = {name: tensors.read(name) for name in tensors.shapes}
        _take(adapted, arrays, directory / OURS)
        adapted.base_sha256 = expected
    return adapted


def load_foreign(directory: Path, values: JsonObject, base_model: Any) -> Any:
    """Return a model with the adapters that PEFT or mlx-lm wrote on ``base_model``.

    They do not say which base they were made for, so that they fit it is all that can be known.
    """
    is_peft = values.get("peft_type") is not None
    source = directory / (peft.TENSORS if is_peft else mlx_lm.TENSORS)
    config = base_model.config
    with TensorFiles([source]) as tensors:
        arrays = {name: tensors.read(name) for name in tensors.shapes}
    read = peft.from_peft if is_peft else mlx_lm.from_mlx_lm
    found = read(values, config, arrays, source)
    adapted = _apply(base_model, lora := found.settings(source), source)
    fresh = split(lora, config, arrays_of(adapted))  # of blocks that had no adapters there
    _take(adapted, join(lora, config, {**fresh, **found.parts}), source)
    return adapted


def read_lora(section: JsonObject, source: Path) -> LoRAConfig:
    """Return the settings that our part of an ``adapter_config.json`` holds.

    Raises:
        CheckpointError: settings that cannot be.
    """
    fields = section.section("lora")
    try:
        return LoRAConfig(**{name: fields.get(name) for name in fields.names()})
    except (ConfigError, TypeError) as error:
        raise CheckpointError(f"{source}: {error}") from None


def _apply(base_model: Any, lora: LoRAConfig, source: Path) -> Any:
    try:
        return apply_lora(base_model, lora)
    except ConfigError as error:
        raise CheckpointError(f"{source}: {error}") from None


def _take(adapted: Any, arrays: dict[str, Array], source: Path) -> None:
    """Copy arrays into a model's adapters: each is there, of the right shape, and no other."""
    places = flatten(adapted.trainable())
    for name in [*places, *arrays]:
        if name not in arrays:
            raise CheckpointError(f"{source}: tensor {name!r} is missing; the file is incomplete")
        if name not in places:
            raise CheckpointError(f"{source}: tensor {name!r} is no part of its adapters")
        if tuple(places[name].shape) != arrays[name].shape:
            raise CheckpointError(
                f"{source}: tensor {name!r} has shape {arrays[name].shape}, and by "
                f"{ADAPTER_CONFIG} {tuple(places[name].shape)}; take both from one place"
            )
    nn = backend_of(adapted)
    values = {name: nn.as_array(array) for name, array in arrays.items()}
    adapted.replace(unflatten(values, like=adapted.trainable()))
