"""Reading a checkpoint. Nothing in it is trusted: all is checked before the model takes it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from llm_explainer.backend import load_backend
from llm_explainer.checkpoint.adapters import base_of, is_adapter, load_adapter
from llm_explainer.checkpoint.chat_templates import TOKENIZER_CONFIG, read_chat_template
from llm_explainer.checkpoint.checksums import read_digests, verify_checksums
from llm_explainer.checkpoint.gguf import (
    TURNED,
    GGUFTensors,
    is_gguf,
    read_config,
    read_header,
    read_template,
)
from llm_explainer.checkpoint.hf_config import read_spec
from llm_explainer.checkpoint.json_objects import read_object, require_file
from llm_explainer.checkpoint.packed import PackedTensors
from llm_explainer.checkpoint.reading import reading
from llm_explainer.checkpoint.saving import (
    CONFIG,
    OPTIMIZER,
    TOKENIZER,
    TRAINER,
    Model,
    check_vocabulary,
)
from llm_explainer.checkpoint.storage import FLOAT32, Storage, refuse_adapters
from llm_explainer.checkpoint.tensors import Array, Shape, TensorFiles
from llm_explainer.checkpoint.way_back import way_back
from llm_explainer.checkpoint.weights import build_model, weight_files
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError, LLMExplainerWarning
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tokenizer import Tokenizer, load_tokenizer
from llm_explainer.tokenizer.files.gpt2_files import find_gpt2_files
from llm_explainer.tokenizer.gguf_metadata import tokenizer_from_gguf
from llm_explainer.tree import flatten


def load_checkpoint(
    path: str | os.PathLike[str], backend: str = "auto", storage: Storage = FLOAT32
) -> tuple[Any, Tokenizer]:
    """Return the model and the tokenizer of a checkpoint.

    Args:
        path: a checkpoint, ours or a directory in Hugging Face's format; a GGUF file; adapters,
            which are put on their base; or a run folder, which stands for its last checkpoint.
        backend: as for ``load_backend``; the model is a ``GPT`` of this backend.
        storage: in what the weights are kept; for inference MLX can have them in fewer bits.

    Raises:
        CheckpointError: missing, damaged, or a model that we cannot build, or has no room for.
        ConfigError: a storage that the backend lacks.
        TokenizerError: a ``tokenizer.json`` that is damaged or of a kind that we lack.
        BackendUnavailable: no such backend.
    """
    model = load_model(path, backend, storage)
    tokenizer = load_tokenizer_of(path, model.config)
    if tokenizer is None:
        with reading(path) as directory:
            raise CheckpointError(
                f"{directory} has no {TOKENIZER}; put the one there that the model was trained with"
            )
    return model, tokenizer


def load_tokenizer_of(path: str | os.PathLike[str], config: ModelConfig) -> Tokenizer | None:
    """Return the tokenizer of a checkpoint whose model is ``config``'s; None if it never had one.

    Raises:
        CheckpointError, TokenizerError: as ``load_checkpoint``.
    """
    with reading(path) as directory:
        if is_gguf(directory):
            return _gguf_tokenizer(directory, config)
        listed = read_digests(directory)
        if (directory / TOKENIZER).exists() or TOKENIZER in listed:
            beside = [name for name in (TOKENIZER_CONFIG, CONFIG) if name in listed]
            verify_checksums(directory, [TOKENIZER, *beside])
            require_file(directory / TOKENIZER)
        elif is_adapter(directory):
            return load_tokenizer_of(base_of(directory), config)
        elif find_gpt2_files(directory) is None:
            return None
        of_model = base_of(directory) if is_adapter(directory) else directory
        with reading(of_model) as model_folder:  # of a run, a checkpoint
            tokenizer = load_tokenizer(directory, model_folder=model_folder)
        check_vocabulary(tokenizer, config, directory)
        tokenizer.chat_template = read_chat_template(directory)
        return tokenizer


def load_config(path: str | os.PathLike[str]) -> ModelConfig:
    """Return the architecture of a checkpoint, or of an adapter's base; no weights are read.

    Raises:
        CheckpointError: missing, damaged, or a model that we cannot build.
    """
    with reading(path) as directory:
        if is_gguf(directory):
            return read_config(directory, read_header(directory))[1]
        if is_adapter(directory):
            return load_config(base_of(directory))
        verify_checksums(directory, [CONFIG])
        return read_spec(directory / CONFIG)[1].config


def load_model(
    path: str | os.PathLike[str], backend: str = "auto", storage: Storage = FLOAT32
) -> Any:
    """Return the model of a checkpoint, as ``load_checkpoint`` does, without a tokenizer.

    Its parameters are float32, unless ``storage`` says otherwise. Where the file has them in other
    numbers, they become that (from float16 and bfloat16 number for number), and a
    ``LLMExplainerWarning`` says so. What was frozen is frozen.

    Raises:
        CheckpointError: missing, damaged, or a model that we cannot build, or has no room for.
        ConfigError: a storage that the backend lacks.
        BackendUnavailable: no such backend.
    """
    nn = load_backend(backend)
    nn.filler(storage.dtype, storage.bits)  # refuses before anything is read
    with reading(path) as directory, _naming_the_way_back(directory):
        if is_gguf(directory):
            return _gguf_model(directory, nn, storage)
        if is_adapter(directory):
            refuse_adapters(storage, directory)
            return load_adapter(directory, load_model(base_of(directory), backend))
        files = weight_files(directory)
        verify_checksums(directory, [CONFIG, *(file.name for file in files)])
        container, spec, packing = read_spec(directory / CONFIG)
        with TensorFiles(files) as opened:
            tensors: TensorFiles | PackedTensors = opened
            if packing is not None:
                tensors = PackedTensors(opened, packing, directory, turns=container == "gpt2")
            model = build_model(nn, container, spec, tensors, directory, storage)
            stored = tensors.other_type()
        _say_type(directory, stored, storage)
    return model


def _gguf_model(file: Path, nn: ModuleType, storage: Storage) -> Any:
    header = read_header(file)
    container, config = read_config(file, header)
    is_turned = header.values["general.architecture"] in TURNED
    n_heads = (config.n_heads, config.n_kv_heads) if is_turned else None
    with GGUFTensors(file, header, n_heads) as tensors:
        model = build_model(nn, container, ModelSpec(config), tensors, file, storage)
        _say_type(file, tensors.other_type(), storage)
    return model


def _gguf_tokenizer(file: Path, config: ModelConfig) -> Tokenizer:
    header = read_header(file)
    tokenizer = tokenizer_from_gguf(header.values)
    check_vocabulary(tokenizer, config, file)
    tokenizer.chat_template = read_template(header)
    return tokenizer


def _say_type(source: Path, stored: str | None, storage: Storage) -> None:
    if stored is not None:
        warnings.warn(
            f"the weights in {source} are {stored}; they are used as {storage.described()}",
            LLMExplainerWarning,
            stacklevel=3,
        )


def load_trainer_state(
    path: str | os.PathLike[str], model: Model | None = None
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Return the trainer's state and the optimizer's arrays, empty where none were saved.

    Args:
        path: a checkpoint or a run folder.
        model: where given, the arrays must be those of an optimizer of this model: for every name
            before the first dot, one for each parameter that learns, of its shape.

    Raises:
        CheckpointError: no state, damage, or arrays that do not fit the model.
    """
    with reading(path) as directory:
        if not (directory / TRAINER).exists():
            raise CheckpointError(
                f"{directory} has no {TRAINER}, so its training cannot go on; start a new run from "
                "its weights"
            )
        has_arrays = (directory / OPTIMIZER).exists() or OPTIMIZER in read_digests(directory)
        verify_checksums(directory, [TRAINER, OPTIMIZER] if has_arrays else [TRAINER])
        state = read_object(directory / TRAINER)
        if not has_arrays:
            return state, {}
        with TensorFiles([directory / OPTIMIZER]) as tensors:
            if model is not None:
                _check_optimizer(tensors.shapes, model, directory / OPTIMIZER)
            return state, {name: tensors.read(name) for name in tensors.shapes}


@contextmanager
def _naming_the_way_back(directory: Path) -> Iterator[None]:
    """Add to an error of a run's newest checkpoint which older one can be used."""
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{error}{way_back(directory)}") from None


def _check_optimizer(found: dict[str, Shape], model: Model, source: Path) -> None:
    """Refuse arrays that are missing, too many, or of another shape than their parameter."""
    shapes = {name: tuple(array.shape) for name, array in flatten(model.trainable()).items()}
    kinds = dict.fromkeys(name.split(".", 1)[0] for name in found)
    expected = {f"{kind}.{name}": shape for kind in kinds for name, shape in shapes.items()}
    for name in [*expected, *found]:
        if found.get(name) == expected.get(name):
            continue
        if name not in found:
            reason = "is missing; the file is incomplete"
        elif name not in expected:
            reason = "belongs to no parameter of the model"
        else:
            reason = f"has shape {found[name]}, and its parameter {expected[name]}"
        raise CheckpointError(f"{source}: {name!r} {reason}")
