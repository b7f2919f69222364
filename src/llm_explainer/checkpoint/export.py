"""Writing a model for other software, with the proof that it is still the same model.

What is written is read again, and compared with what it was made of: logits, and ids of texts.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.checkpoint.adapters.base import fingerprint
from llm_explainer.checkpoint.directories import write_directory
from llm_explainer.checkpoint.gguf import write_gguf
from llm_explainer.checkpoint.gguf.writing import Kind
from llm_explainer.checkpoint.loading import load_checkpoint
from llm_explainer.checkpoint.saving import MODEL, absolute, save_checkpoint
from llm_explainer.errors import CheckpointError, LLMExplainerWarning
from llm_explainer.tokenizer import Tokenizer

CARD = "README.md"
BOUNDS: dict[str, float] = {"F32": 1e-4, "F16": 2e-2, "Q8_0": 0.1}
"""By how much logits may differ, as a share of the largest: rounding explains no more."""

_FIRST_LINE = "<!-- written by llm-explainer export -->"
_N_PROMPTS = 4  # of which the logits are compared


@dataclass(frozen=True)
class Proof:
    """What came of reading back what was written."""

    path: Path
    n_bytes: int
    difference: float  # the largest in the logits
    largest: float  # logit
    n_texts: int  # whose ids are equal

    def rows(self) -> list[tuple[str, str]]:
        """Return it as labels and words."""
        return [
            ("written", f"{self.path}, {self.n_bytes / 1e6:,.1f} MB"),
            ("logits", f"within {self.difference:.1e}, of up to {self.largest:.1f}"),
            ("ids", f"equal for {self.n_texts:,} texts"),
        ]


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
            is not the same when it is read again.
    """
    if model.config.family is None:
        raise CheckpointError(
            f"transformers has no model with these switches, {model.config.described()}"
        )
    card = folder / CARD
    if overwrite and card.is_file() and card.read_text(encoding="utf-8").startswith(_FIRST_LINE):
        card.unlink()  # of an earlier export, which is no part of a checkpoint
    save_checkpoint(folder, model, tokenizer, overwrite=overwrite)
    proof = prove(model, tokenizer, folder, texts, BOUNDS["F32"])
    _write_card(folder, model, proof, source)
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
    target = absolute(folder)
    name = f"{target.name}-{kind}.gguf"
    try:
        with write_directory(target, (name, CARD), overwrite=overwrite) as new:
            file = write_gguf(new / name, model, tokenizer, kind)
            proof = prove(model, tokenizer, file, texts, BOUNDS[kind])
            proof = replace(proof, path=folder / name)
            _write_card(new, model, proof, source)
    except OSError as error:
        raise CheckpointError(f"cannot write {folder}: {error.strerror}") from None
    return proof


def prove(
    model: Any, tokenizer: Tokenizer, path: Path, texts: Sequence[str], bound: float
) -> Proof:
    """Read a model again and compare it.

    Raises:
        CheckpointError: logits or ids differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LLMExplainerWarning)  # that numbers were rounded is known
        found, read = load_checkpoint(path, "numpy")
    for text in texts:
        if tokenizer.encode(text) != read.encode(text):
            raise CheckpointError(f"{path} gives other ids for {text[:40]!r}; it is not written")
    difference = largest = 0.0
    for text in texts[:_N_PROMPTS]:
        ids = np.array([tokenizer.encode(text)[: model.config.context_length]])
        expected = model(ids)
        difference = max(difference, float(np.abs(found(ids) - expected).max()))
        largest = max(largest, float(np.abs(expected).max()))
    if difference > bound * largest:
        raise CheckpointError(
            f"{path} gives logits that are {difference:.2g} off, where rounding explains "
            f"{bound * largest:.2g}; it is not written"
        )
    weights = path / MODEL if path.is_dir() else path
    return Proof(path, weights.stat().st_size, difference, largest, len(texts))


def _write_card(folder: Path, model: Any, proof: Proof, source: str) -> None:
    title = proof.path.name
    rows = "\n".join(f"- {label}: {words}" for label, words in proof.rows()[1:])
    text = (
        f"{_FIRST_LINE}\n# {title}\n\n"
        f"{model.config.described()}.\n\n"
        f"- made of: `{source}`\n- SHA-256 of its weights: `{fingerprint(model)}`\n{rows}\n"
    )
    (folder / CARD).write_text(text, encoding="utf-8")
