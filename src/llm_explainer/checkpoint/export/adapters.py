"""Adapters for PEFT and mlx-lm, without what only a run of ours needs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llm_explainer.checkpoint.adapters import base_of, is_adapter, save_adapter
from llm_explainer.checkpoint.adapters.base import ADAPTER_CONFIG, SECTION
from llm_explainer.checkpoint.adapters.loading import load_foreign
from llm_explainer.checkpoint.adapters.saving import ADAPTER_FILES
from llm_explainer.checkpoint.export.proof import (
    BOUNDS,
    Proof,
    bytes_of,
    compare_logits,
    new_folder,
    write_card,
)
from llm_explainer.checkpoint.json_objects import JsonObject, read_object
from llm_explainer.checkpoint.loading import load_model
from llm_explainer.checkpoint.reading import reading
from llm_explainer.checkpoint.saving import TOKENIZER
from llm_explainer.errors import CheckpointError, LLMExplainerWarning
from llm_explainer.tokenizer import Tokenizer


def export_adapter(
    path: Path,
    model: Any,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    texts: Sequence[str],
    overwrite: bool = False,
) -> Proof:
    """Write adapters as PEFT and mlx-lm have them, with a card, and prove both.

    Args:
        path: where the adapters were loaded from, which knows their base.
        model: with them.
        tokenizer: theirs, or the base's.
        folder: a new one.
        texts: of the first few the logits are compared.
        overwrite: whether an export of this name may be replaced.

    Raises:
        CheckpointError: a model without adapters; a base that other software does not know; they
            cannot be written; they are not the same when they are read again.
    """
    if model.config.family is None:
        raise CheckpointError(
            f"PEFT and mlx-lm have no model with the base's switches, {model.config.described()}"
        )
    base, has_tokenizer = base_of_adapters(path)
    own = tokenizer if has_tokenizer else None
    with new_folder(folder, ADAPTER_FILES, overwrite=overwrite) as new:
        save_adapter(new, model, base=base, tokenizer=own)
        found = _read_again(new, base)
        compared = [
            compare_logits(model, each, tokenizer, texts, BOUNDS["F32"]) for each in found.values()
        ]
        difference, largest = (max(numbers) for numbers in zip(*compared, strict=True))
        more = (("read by", " and ".join(found)), ("base", str(base)))
        proof = Proof(folder, bytes_of(new), difference, largest, 0, more)
        write_card(new, model, proof, str(path))
    return proof


def base_of_adapters(path: Path) -> tuple[Path, bool]:
    """Return where the base is, and whether the adapters have a tokenizer of their own.

    Raises:
        CheckpointError: a model without adapters; the base is not where it was.
    """
    with reading(path) as directory:
        if not is_adapter(directory):
            raise CheckpointError(f"{path} has no adapters; take --to hf for a model as a whole")
        return base_of(directory), (directory / TOKENIZER).exists()


def _read_again(folder: Path, base: Path) -> dict[str, Any]:
    """Return the model that each software would have, by its name: without our own part."""
    settings = read_object(folder / ADAPTER_CONFIG)
    del settings[SECTION]
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LLMExplainerWarning)
        for software, key in (("PEFT", "peft_type"), ("mlx-lm", "fine_tune_type")):
            if key in settings:
                other = "fine_tune_type" if key == "peft_type" else "peft_type"
                own = {name: value for name, value in settings.items() if name != other}
                values = JsonObject(own, folder / ADAPTER_CONFIG)
                found[software] = load_foreign(folder, values, load_model(base, "numpy"))
    return found
