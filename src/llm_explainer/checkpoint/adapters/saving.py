"""Writing adapters, all of a directory or nothing."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.backend import backend_of
from llm_explainer.checkpoint.adapters import mlx_lm, peft
from llm_explainer.checkpoint.adapters.base import (
    ADAPTER_CONFIG,
    OF_ADAPTERS,
    SECTION,
    fingerprint,
    places_of,
)
from llm_explainer.checkpoint.adapters.fusing import by_layer
from llm_explainer.checkpoint.adapters.mlx_lm import to_mlx_lm
from llm_explainer.checkpoint.adapters.parts import arrays_of, split
from llm_explainer.checkpoint.adapters.peft import to_peft
from llm_explainer.checkpoint.chat_templates import TOKENIZER_CONFIG
from llm_explainer.checkpoint.checksums import MANIFEST
from llm_explainer.checkpoint.saving import (
    OPTIMIZER,
    TOKENIZER,
    TRAINER,
    absolute,
    check_vocabulary,
    write_company,
    write_json,
    writing,
)
from llm_explainer.checkpoint.tensors import Array, write_tensors
from llm_explainer.errors import CheckpointError, LLMExplainerWarning
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tree import flatten

OURS = "lora.safetensors"
ADAPTER_FILES = (
    ADAPTER_CONFIG,
    OURS,
    peft.TENSORS,
    mlx_lm.TENSORS,
    TOKENIZER,
    TOKENIZER_CONFIG,
    TRAINER,
    OPTIMIZER,
    MANIFEST,
)


def save_adapter(
    directory: str | os.PathLike[str],
    model: Any,
    *,
    base: str | os.PathLike[str],
    tokenizer: Tokenizer | None = None,
    trainer_state: dict[str, Any] | None = None,
    optimizer_state: dict[str, Array] | None = None,
    overwrite: bool = False,
) -> Path:
    """Write the adapters of a model, and return the directory's path.

    It appears under its name when all of it has reached the disk, as ``save_checkpoint`` has it.

    Args:
        directory: made by this call, with the folders above it.
        model: what ``apply_lora`` or ``load_adapter`` returned.
        base: where the base can be loaded from: a checkpoint, a run's folder, or a name elsewhere.
        tokenizer: the one to use with the adapters; None for the base's.
        trainer_state, optimizer_state, overwrite: as for ``save_checkpoint``.

    Raises:
        CheckpointError: a model without adapters, or whose base learned too; and what
            ``save_checkpoint`` refuses.
    """
    lora, config = model.lora, model.config
    if lora is None:
        raise CheckpointError(f"{directory}: the model has no adapters; use save_checkpoint")
    for name in flatten(model.trainable()):
        if not name.endswith(OF_ADAPTERS):
            raise CheckpointError(
                f"{directory}: {name!r} of the base learns too, and adapters cannot hold it; merge "
                "them, and save the model"
            )
    if tokenizer is not None:
        check_vocabulary(tokenizer, config, directory)
    section = {
        "lora": lora.to_dict(),
        **places_of(base, absolute(directory)),
        "base_sha256": fingerprint(model),
    }
    arrays = arrays_of(model)
    files, settings = {OURS: arrays}, {"base_model_name_or_path": section["base"]}
    if config.family is not None:
        layers = by_layer(config, split(lora, config, arrays), _lengths(model))
        written = {peft.TENSORS: to_peft(lora, config, layers)}
        if (for_mlx_lm := to_mlx_lm(lora, config, layers)) is not None:
            written[mlx_lm.TENSORS] = for_mlx_lm
        else:
            warnings.warn(
                "the adapters of a head that is tied to the token embedding are saved for PEFT and "
                "for here; mlx-lm would adapt the embedding with them, so it gets no file",
                LLMExplainerWarning,
                stacklevel=2,
            )
        for name, (own, tensors) in written.items():
            settings, files[name] = {**settings, **own}, tensors
    with writing(directory, ADAPTER_FILES, overwrite=overwrite) as folder:
        write_json(folder / ADAPTER_CONFIG, {**settings, SECTION: section})
        for name, tensors in files.items():
            write_tensors(folder / name, tensors)
        write_company(folder, config, tokenizer, trainer_state, optimizer_state)
    return Path(directory)


def _lengths(model: Any) -> dict[int, Array]:
    """Return the lengths of the rows of every block's queries, keys and values, which a GPT-2 with
    DoRA has in other software whether they are adapted or not."""
    layers = [block.attention.qkv_proj for block in model.blocks]
    if not model.lora.dora or not isinstance(layers[0], backend_of(model).LoRALinear):
        return {}
    return {i: np.asarray(layer.lengths_of_base()) for i, layer in enumerate(layers)}
