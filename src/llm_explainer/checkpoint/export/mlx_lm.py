"""A directory for mlx-lm: whole, or in the few bits that it computes with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from llm_explainer.checkpoint.export.folders import export_hf
from llm_explainer.checkpoint.export.proof import (
    BOUNDS,
    Proof,
    compare_weights,
    new_folder,
    prove,
    write_card,
)
from llm_explainer.checkpoint.hf_config import container_of, to_document
from llm_explainer.checkpoint.packed import Packing, pack
from llm_explainer.checkpoint.saving import (
    CONFIG,
    FILES,
    MODEL,
    stored_tensors,
    write_company,
    write_json,
)
from llm_explainer.checkpoint.tensors import Array, write_tensors
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer import Tokenizer

PackedKind = Literal["4bit", "8bit"]


def export_mlx(
    model: Any,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    kind: PackedKind | None,
    texts: Sequence[str],
    source: str,
    overwrite: bool = False,
) -> Proof:
    """Write a directory that mlx-lm loads, with a card, and prove it.

    Args:
        kind: in how many bits the matrices are; None for float32.
        model, tokenizer, folder, texts, source, overwrite: as of ``export_hf``.

    Raises:
        CheckpointError: mlx-lm does not run it as it is meant; no matrix can be packed; it cannot
            be written; it is not the same when it is read again, and then nothing is left behind.
    """
    _check_runs(model.config)
    if kind is None:
        return export_hf(model, tokenizer, folder, texts=texts, source=source, overwrite=overwrite)
    packing = Packing(int(kind.removesuffix("bit")))
    tensors = _packed(model, packing)
    document = to_document(model.config, tokenizer.roles)
    document["quantization"] = packing.to_dict()
    with new_folder(folder, FILES, overwrite=overwrite) as new:
        write_json(new / CONFIG, document)
        write_tensors(new / MODEL, tensors)
        write_company(new, model.config, tokenizer, None, None)
        n_steps = compare_weights(model, new, packing)
        proof = prove(model, tokenizer, new, texts, BOUNDS[kind])
        more = (("weights", f"within {n_steps:.2f} steps of {packing.bits} bits, all of them"),)
        proof = replace(proof, path=folder, more=more)
        write_card(new, model, proof, source)
    return proof


def _check_runs(config: ModelConfig) -> None:
    """Refuse what mlx-lm does not run, or would run as another model without a word."""
    if config.family is None:
        raise CheckpointError(f"mlx-lm has no model with these switches, {config.described()}")
    if config.sliding_window and config.family != "smollm3":
        raise CheckpointError(
            f"mlx-lm runs a {config.family} without its sliding window, which is another model"
        )
    scaling = config.rope_scaling
    if scaling is not None and scaling.rule == "yarn":
        usual = 0.1 * math.log(scaling.factor) + 1 if scaling.factor > 1 else 1.0
        if not (math.isclose(scaling.attention_factor, usual, rel_tol=1e-6) and scaling.truncate):
            raise CheckpointError(
                f"mlx-lm computes RoPE by yarn with an attention_factor of {usual:.6g} and whole "
                "channels, and this model has others"
            )
    if config.family == "gpt2" and (config.d_ff != 4 * config.d_model or not config.tie_embeddings):
        raise CheckpointError(
            "mlx-lm has no GPT-2 whose head is its own or whose d_ff is not four times its d_model"
        )


def _packed(model: Any, packing: Packing) -> dict[str, Array]:
    """Return a model's tensors under mlx-lm's names, packed where they can be.

    The head that shares the table of the tokens shares the packed one; positions stay whole.
    """
    is_gpt2 = container_of(model.config) == "gpt2"
    tensors: dict[str, Array] = {}
    for name, array in stored_tensors(model).items():
        if is_gpt2:
            is_turned = name.startswith("h.") and array.ndim == 2
            name, array = f"model.{name}", array.T if is_turned else array
        if packing.takes(array.shape) and not name.endswith("wpe.weight"):
            module = name.removesuffix(".weight")
            names = (name, f"{module}.scales", f"{module}.biases")
            tensors |= dict(zip(names, pack(np.ascontiguousarray(array), packing), strict=True))
        else:
            tensors[name] = array
    if not any(name.endswith(".scales") for name in tensors):
        raise CheckpointError(
            f"no matrix of this model has rows of a multiple of {packing.group_size} numbers, so "
            "none can be packed; leave out --kind"
        )
    return tensors
