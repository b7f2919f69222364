"""From the tensors of a directory to a model: find them, check every one, then copy them in."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import numpy as np

from llm_explainer.checkpoint.json_objects import JsonObject, read_object
from llm_explainer.checkpoint.layouts import Container, Slot, canonical_names, layout
from llm_explainer.checkpoint.saving import CONFIG, MODEL
from llm_explainer.checkpoint.storage import Storage, check_fits
from llm_explainer.checkpoint.tensors import Array, Tensors
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tree import flatten

_INDEX = "model.safetensors.index.json"  # of a model that is split over several files
_SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_MIN_TABLE = 1 << 24  # numbers in a table of positions that any model may ask for


def weight_files(directory: Path) -> list[Path]:
    """Return the safetensors files of a directory: one, or those that its index names.

    Raises:
        CheckpointError: there are none; a damaged index.
        OSError: the directory cannot be read.
    """
    if (directory / MODEL).exists():
        return [directory / MODEL]
    if (directory / _INDEX).exists():
        return _shards(directory / _INDEX)
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in _PICKLES)
    if pickles:
        raise CheckpointError(
            f"{directory} has no {MODEL}, and {pickles[0]!r} may be a pickle, which can run code "
            "and is never opened; convert it to safetensors"
        )
    raise CheckpointError(f"{directory} has no {MODEL}; copy it there, or name another directory")


def build_model(
    nn: ModuleType,
    container: Container,
    spec: ModelSpec,
    tensors: Tensors,
    directory: Path,
    storage: Storage,
) -> Any:
    """Return a model of the backend ``nn`` with the parameters that the files hold.

    What was frozen when it was saved is frozen again.

    Raises:
        CheckpointError: a tensor that is missing, too many, or of the wrong shape; numbers that
            are not finite; a config that the files do not bear out.
    """
    config = spec.config
    _check_cost(config, tensors.n_numbers, directory)
    fill = nn.filler(storage.dtype, storage.bits)
    check_fits(config, storage, directory)
    stored = _StoredParameters(container, tensors, directory)
    try:
        model = spec.build(nn)
        slots = stored.check(model)
        if not config.bias and stored.has_other_biases(slots, model):
            # A GPT-2 that was saved without biases, and trained on by software that gave it some.
            model = replace(spec, config=replace(config, bias=True)).build(nn)
    except ConfigError as error:
        raise CheckpointError(f"{directory}: {_settings(directory)}: {error}") from None
    by_name = {slot.parameter: slot for slot in slots}
    fill(model, lambda name: stored.read(by_name[name]))
    return model


class _StoredParameters:
    """A model's parameters as one kind of directory stores them."""

    def __init__(self, container: Container, tensors: Tensors, directory: Path) -> None:
        self._container, self._tensors, self._directory = container, tensors, directory
        self._said_in = _settings(directory)
        self._names: dict[str, str] = {}  # the name in our layout: the name in the file
        for canonical, names in canonical_names(container, tensors.shapes).items():
            if len(names) > 1:
                raise CheckpointError(f"{directory}: {names[0]!r} and {names[1]!r} are one tensor")
            self._names[canonical] = names[0]

    def check(self, model: Any) -> list[Slot]:
        """Return the model's slots: each is filled and rightly shaped, and no tensor is left over.

        Raises:
            CheckpointError: names the first tensor for which that is not so.
        """
        shapes = {name: tuple(array.shape) for name, array in flatten(model.parameters()).items()}
        slots = layout(self._container, model.config, shapes)
        expected = {name: shape for slot in slots for name, shape in slot.tensors.items()}
        for name, shape in expected.items():
            if name not in self._names:
                self._refuse(name, "is missing; the file is incomplete")
            self._tensors.check_type(self._names[name])
            found = self._tensors.shapes[self._names[name]]
            if found != shape:
                self._refuse(
                    name,
                    f"has shape {found}, and by {self._said_in} {shape}; take both from one place",
                )
        for name in self._names:
            if name not in expected and not self._is_tied_head(name, slots):
                self._refuse(name, f"is no part of the model that {self._said_in} describes")
        return slots

    def read(self, slot: Slot) -> Array:
        """Return a parameter as we have it, (out, in)."""
        parts = [self._tensors.read(self._names[name]) for name in slot.tensors]
        array = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return array.T if slot.transposed else array

    def has_other_biases(self, slots: list[Slot], model: Any) -> bool:
        """Whether a bias that the model lacks is anything but zero in the file."""
        parameters = flatten(model.parameters())
        return any(self.read(slot).any() for slot in slots if slot.parameter not in parameters)

    def _is_tied_head(self, name: str, slots: list[Slot]) -> bool:
        """Whether this is the token embedding, which some software stores again as the head."""
        if name != "lm_head.weight":
            return False
        embedding = next(slot for slot in slots if slot.parameter == "token_embedding.weight")
        return np.array_equal(self._tensors.read(self._names[name]), self.read(embedding))

    def _refuse(self, name: str, reason: str) -> NoReturn:
        raise CheckpointError(f"{self._directory}: tensor {name!r} {reason}")


def _shards(index: Path) -> list[Path]:
    """Return the files that an index maps tensors to."""
    weight_map = JsonObject(read_object(index), index).section("weight_map")
    names = set()
    for tensor in weight_map.names():
        name = weight_map.get(tensor)
        if not isinstance(name, str) or not _SHARD.fullmatch(name):  # no way out of the directory
            weight_map.refuse(tensor, "the name of a safetensors file beside it is expected")
        names.add(name)
    if not names:
        raise CheckpointError(f"{index} names no files; it is damaged")
    return [index.parent / name for name in sorted(names)]


def _settings(place: Path) -> str:
    """Return what says how the model is built: a file in a directory, or a part of a GGUF."""
    return CONFIG if place.is_dir() else "the header"


def _check_cost(config: ModelConfig, n_stored: int, directory: Path) -> None:
    """Refuse sizes that the files do not bear out, before anything of these sizes is made."""
    n_parameters = config.count_parameters()
    if n_parameters > 2 * n_stored + 10_000:  # what is a little off is told tensor by tensor
        raise CheckpointError(
            f"{directory}: {_settings(directory)} describes {n_parameters} parameters, and the "
            f"files hold {n_stored} numbers; they do not belong together"
        )
    longest = max(_MIN_TABLE, n_stored) // config.d_model
    if config.position != "learned" and config.context_length > longest:
        raise CheckpointError(
            f"{directory}: {_settings(directory)} asks for a context of {config.context_length} "
            f"tokens, whose positions would outweigh the model; up to {longest} would do"
        )
