"""Writing a checkpoint, all of it or nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from llm_explainer.checkpoint.chat_templates import TOKENIZER_CONFIG, template_settings
from llm_explainer.checkpoint.checksums import MANIFEST, write_checksums
from llm_explainer.checkpoint.directories import find_directory, write_directory
from llm_explainer.checkpoint.hf_config import container_of, from_document, to_document
from llm_explainer.checkpoint.layouts import layout
from llm_explainer.checkpoint.tensors import Array, write_tensors
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tokenizer.roles import ROLE_KEYS, TokenRoles
from llm_explainer.tree import Tree, flatten

CONFIG, MODEL = "config.json", "model.safetensors"
TOKENIZER = "tokenizer.json"
TRAINER, OPTIMIZER = "trainer_state.json", "optimizer.safetensors"
FILES = (CONFIG, MODEL, TOKENIZER, TOKENIZER_CONFIG, TRAINER, OPTIMIZER, MANIFEST)
NEEDED = "needed-by-adapters.txt"
"""A note in a run's checkpoint; the run keeps one that holds anything but ``FILES``."""


class Model(Protocol):
    """What a checkpoint needs of a model, on any backend."""

    config: ModelConfig

    def parameters(self) -> Tree:
        """Return the parameters, nested."""

    def trainable(self) -> Tree:
        """Return those that learn, nested."""


def save_checkpoint(
    directory: str | os.PathLike[str],
    model: Model,
    tokenizer: Tokenizer | None = None,
    *,
    trainer_state: dict[str, Any] | None = None,
    optimizer_state: dict[str, Array] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a checkpoint and return its path.

    It appears under its name when all of it has reached the disk. A full disk, Ctrl-C or a kill
    before that leaves what was there.

    Args:
        directory: made by this call, with the folders above it.
        model: float32.
        tokenizer: the one that the model was trained with; None where only its ids are known.
        trainer_state: any JSON object, for ``load_trainer_state``.
        optimizer_state: float32 arrays under dotted names, such as ``m.blocks.0...``.
        overwrite: replace a checkpoint that has this name.

    Raises:
        CheckpointError: something is in the way; no space or permission; parts that do not fit
            together; a state that JSON cannot express; arrays that are not float32.
    """
    config = model.config
    if getattr(model, "lora", None) is not None:
        raise CheckpointError(
            f"{directory}: the model has adapters; use save_adapter, or merge_lora before this"
        )
    if tokenizer is not None:
        check_vocabulary(tokenizer, config, directory)
    roles = tokenizer.roles if tokenizer else TokenRoles()
    document = to_document(config, roles, ModelSpec.of(model).frozen)
    if from_document(document, CONFIG)[1] != config:
        raise CheckpointError(f"config.json cannot express {config}; use plain numbers in it")
    with writing(directory, (*FILES, NEEDED), overwrite=overwrite) as folder:
        write_json(folder / CONFIG, document)
        write_tensors(folder / MODEL, stored_tensors(model))
        write_company(folder, config, tokenizer, trainer_state, optimizer_state)
    return Path(directory)


@contextmanager
def writing(
    directory: str | os.PathLike[str], known_files: Collection[str], *, overwrite: bool
) -> Iterator[Path]:
    """Yield a folder that takes the place of ``directory``, with its checksums, at the end.

    Raises:
        CheckpointError: something is in the way; no space or permission.
    """
    target = absolute(directory)
    try:
        target_now = find_directory(target)
        if target_now != target:
            target_now.rename(target)  # an earlier save was killed between its two renames
        with write_directory(target, known_files, overwrite=overwrite) as folder:
            yield folder
            write_checksums(folder)
    except OSError as error:
        raise CheckpointError(f"cannot write {directory}: {error.strerror}") from None


def write_company(
    folder: Path,
    config: ModelConfig,
    tokenizer: Tokenizer | None,
    trainer_state: dict[str, Any] | None,
    optimizer_state: dict[str, Array] | None,
) -> None:
    """Write what goes with a model's weights, where it is given."""
    if tokenizer is not None:
        write_tokenizer(folder, tokenizer, config.context_length)
    if trainer_state is not None:
        write_json(folder / TRAINER, trainer_state)
    if optimizer_state is not None:
        write_tensors(folder / OPTIMIZER, optimizer_state)


def check_vocabulary(
    tokenizer: Tokenizer, config: ModelConfig, source: str | os.PathLike[str]
) -> None:
    """Refuse a tokenizer with ids that the model does not know; it may have fewer.

    Raises:
        CheckpointError: it has more.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise CheckpointError(
            f"{source}: the tokenizer has {tokenizer.vocab_size} tokens and the model's vocab_size "
            f"is {config.vocab_size}; they do not belong together"
        )


def write_tokenizer(folder: Path, tokenizer: Tokenizer, context_length: int | None = None) -> None:
    """Write ``tokenizer.json``, and ``tokenizer_config.json`` for Hugging Face's ``AutoTokenizer``.

    Args:
        folder: that the caller will make appear all at once.
        tokenizer: of any kind.
        context_length: of the model that it belongs to; None where there is none yet.

    Raises:
        OSError: the files cannot be written.
    """
    tokenizer.save(folder / TOKENIZER)
    write_json(folder / TOKENIZER_CONFIG, tokenizer_settings(tokenizer, context_length))


def tokenizer_settings(tokenizer: Tokenizer, context_length: int | None = None) -> dict[str, Any]:
    """Return the content of ``tokenizer_config.json``; arguments as of ``write_tokenizer``."""
    document: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,  # it would drop spaces before punctuation
    }
    if context_length is not None:
        document["model_max_length"] = context_length
    if tokenizer.chat_template is not None:
        document |= template_settings(tokenizer.chat_template)
    names = tokenizer.roles.to_tokenizer_config(tokenizer.special_tokens)
    return {key: value for key, value in document.items() if key not in ROLE_KEYS} | names


def stored_tensors(model: Model) -> dict[str, Array]:
    """Return the arrays of ``model.safetensors``: views where the file has them as we do.

    Its names and shapes are those of the model's kind of directory.
    """
    parameters = {name: np.asarray(array) for name, array in flatten(model.parameters()).items()}
    shapes = {name: array.shape for name, array in parameters.items()}
    tensors: dict[str, Array] = {}
    for slot in layout(container_of(model.config), model.config, shapes):
        array = parameters.get(slot.parameter)
        first = 0
        for name, shape in slot.tensors.items():
            if array is None:
                tensors[name] = np.zeros(shape, np.float32)
            elif slot.transposed:
                tensors[name] = array.T
            else:
                tensors[name] = array[first : first + shape[0]]
                first += shape[0]
    return tensors


def write_json(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON object.

    Raises:
        CheckpointError: what JSON cannot express.
        OSError: the file cannot be written.
    """
    try:
        text = json.dumps(document, indent=2, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot hold what it was given: {error}") from None
    path.write_text(text + "\n", encoding="utf-8")


def absolute(directory: str | os.PathLike[str]) -> Path:
    """Return where a checkpoint of this name is to be.

    Raises:
        CheckpointError: it is no path.
    """
    try:
        # Through links, so that overwriting ``last`` replaces the checkpoint that it points to.
        return Path(directory).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{directory!r} is no path for a checkpoint: {error}") from None
