"""A model as a Hugging Face directory, or as a GGUF file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llm_explainer.checkpoint.export.proof import BOUNDS, Proof, new_folder, prove, write_card
from llm_explainer.checkpoint.gguf import write_gguf
from llm_explainer.checkpoint.gguf.writing import Kind
from llm_explainer.checkpoint.saving import FILES, absolute, save_checkpoint
from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer import Tokenizer


def export_hf(
    model: Any,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    texts: Sequence[str],
    source: str,
    overwrite: bool = False,
) -> Proof:
    """Write a directory that transformers and mlx-lm load, with a card, and prove it.

    Args:
        model: without adapters.
        tokenizer: the one that it was trained with.
        folder: a new one.
        texts: whose ids are compared, and of the first few the logits.
        source: where the model came from, for its card.
        overwrite: whether an export of this name may be replaced.

    Raises:
        CheckpointError: a model of our own kind, which they do not know; it cannot be written; it
            is not the same when it is read again, and then nothing is left behind.
    """
    if model.config.family is None:
        raise CheckpointError(
            f"transformers has no model with these switches, {model.config.described()}"
        )
    with new_folder(folder, FILES, overwrite=overwrite) as new:
        save_checkpoint(new, model, tokenizer)
        proof = prove(model, tokenizer, new, texts, BOUNDS["F32"])
        proof = replace(proof, path=folder)
        write_card(new, model, proof, source)
    return proof


def export_gguf(
    model: Any,
    tokenizer: Tokenizer,
    folder: Path,
    *,
    kind: Kind,
    texts: Sequence[str],
    source: str,
    overwrite: bool = False,
) -> Proof:
    """Write a folder with a GGUF file and a card, and prove it; arguments as of ``export_hf``.

    Raises:
        CheckpointError: llama.cpp cannot run it as it is meant; it cannot be written; it is not the
            same when it is read again, and then nothing is left behind.
    """
    name = gguf_name(folder, kind)
    with new_folder(folder, [name], overwrite=overwrite) as new:
        proof = prove_gguf(new / name, model, tokenizer, kind, texts)
        proof = replace(proof, path=folder / name)
        write_card(new, model, proof, source)
    return proof


def gguf_name(folder: Path, kind: Kind) -> str:
    """Return the name of the file in an export's folder."""
    return f"{absolute(folder).name}-{kind}.gguf"


def prove_gguf(
    file: Path, model: Any, tokenizer: Tokenizer, kind: Kind, texts: Sequence[str]
) -> Proof:
    """Write a GGUF file and read it again.

    Raises:
        CheckpointError, OSError: as ``write_gguf`` and ``prove``.
    """
    write_gguf(file, model, tokenizer, kind, name=file.stem.removesuffix(f"-{kind}"))
    return prove(model, tokenizer, file, texts, BOUNDS[kind])
