"""Writing adapters, all of a directory or nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from llm_explainer.checkpoint.adapters.base import (
    ADAPTER_CONFIG,
    SECTION,
    fingerprint,
    places_of,
)
from llm_explainer.checkpoint.adapters.parts import arrays_of
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
from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tree import flatten

OURS = "lora.safetensors"
ADAPTER_FILES = (
    ADAPTER_CONFIG,
    OURS,
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
        if not name.endswith(("lora_a", "lora_b", "magnitude")):
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
    with writing(directory, ADAPTER_FILES, overwrite=overwrite) as folder:
        write_json(folder / ADAPTER_CONFIG, {SECTION: section})
        write_tensors(folder / OURS, arrays_of(model))
        write_company(folder, config, tokenizer, trainer_state, optimizer_state)
    return Path(directory)
