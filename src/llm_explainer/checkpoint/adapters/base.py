"""The base of an adapter: where it is, and how it is known again."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.checkpoint.gguf.header import is_gguf
from llm_explainer.checkpoint.json_objects import JsonObject, read_object
from llm_explainer.checkpoint.reading import reading
from llm_explainer.checkpoint.saving import NEEDED
from llm_explainer.errors import CheckpointError
from llm_explainer.run_folders import is_run
from llm_explainer.spelling import spelled_out
from llm_explainer.tree import flatten

ADAPTER_CONFIG = "adapter_config.json"
SECTION = "llm_explainer"
"""The part of ``adapter_config.json`` that is ours; other software ignores it."""

OF_ADAPTERS = ("lora_a", "lora_b", "magnitude")
"""How the names of adapters' arrays end, and no others."""


def is_adapter(directory: Path) -> bool:
    """Whether a directory holds adapters, and no model."""
    return (directory / ADAPTER_CONFIG).exists()


def fingerprint(model: Any) -> str:
    """Return the SHA-256 over names, shapes and numbers of a model's weights, but for adapters'.

    It is equal for a model and for what ``apply_lora`` made of it.
    """
    if model.lora is not None and model.base_sha256 is not None:
        return str(model.base_sha256)
    digest = hashlib.sha256()
    for name, array in sorted(flatten(model.parameters()).items()):
        if not name.endswith(OF_ADAPTERS):
            values = np.ascontiguousarray(array)
            digest.update(f"{name.replace('.base.', '.')} {values.shape}\n".encode())
            digest.update(values.data)
    if model.lora is not None:
        model.base_sha256 = digest.hexdigest()  # its base is frozen, so this is so from now on
    return digest.hexdigest()


def base_of(path: str | os.PathLike[str]) -> Path:
    """Return the directory or the GGUF file of an adapter's base: of ours, PEFT's or mlx-lm's.

    Raises:
        CheckpointError: no adapter; its base is not where it was.
    """
    with reading(path) as directory:
        values = JsonObject(read_object(directory / ADAPTER_CONFIG), directory / ADAPTER_CONFIG)
        section = values.section(SECTION)
        names = [
            section.get("base_relative"),
            section.get("base"),
            values.get("base_model_name_or_path"),
            values.get("model"),  # mlx-lm's
        ]
        places = [directory / name for name in names if isinstance(name, str) and name]
        for place in places:
            if place.is_dir() or is_gguf(place):
                return Path(os.path.normpath(place))
        looked = " or ".join(dict.fromkeys(os.path.normpath(place) for place in places))
        reason = f"is no longer at {looked}" if looked else "is not named"
        raise CheckpointError(
            f"the base of the adapter {directory} {reason}; put it there, or load the adapter onto "
            "a base with load_adapter"
        )


def keep_base(base: Path, adapters: Path) -> None:
    """Leave a note in a run's checkpoint that adapters stand on it, so that the run keeps it.

    Runs drop their older checkpoints when they go on, and adapters are nothing without the one that
    they were trained on. Where nothing can be written, nothing is.
    """
    if is_run(base.parent):
        with suppress(OSError), (base / NEEDED).open("a", encoding="utf-8") as file:
            file.write(f"{spelled_out(adapters.resolve())} has adapters on these weights\n")


def places_of(base: str | os.PathLike[str], adapter: Path) -> dict[str, str]:
    """Return how an adapter's file names its base: what it is, and from there how to get to it."""
    name = os.fspath(base)
    if not Path(name).exists():
        return {"base": name}
    with reading(name) as directory:  # of a run's folder, the checkpoint that it means today
        there = directory.resolve()
    try:
        return {"base": str(there), "base_relative": os.path.relpath(there, adapter)}
    except ValueError:  # another drive
        return {"base": str(there)}
