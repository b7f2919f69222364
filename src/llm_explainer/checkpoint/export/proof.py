"""The proof of an export: what was written, read again, is the same model."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.checkpoint.adapters.base import fingerprint
from llm_explainer.checkpoint.directories import write_directory
from llm_explainer.checkpoint.loading import load_checkpoint, load_model
from llm_explainer.checkpoint.packed import Packing
from llm_explainer.checkpoint.saving import absolute
from llm_explainer.errors import CheckpointError, LLMExplainerWarning
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tree import flatten

CARD = "README.md"
BOUNDS: dict[str, float] = {"F32": 1e-4, "F16": 2e-2, "Q8_0": 0.1, "8bit": 0.1, "4bit": 1.0}
"""By how much logits may differ, as a share of the largest: rounding explains no more."""

MOST_STEPS = 1.6
"""By how much a packed weight may differ, in parts of its group's range: half a step by rounding,
and about one more at the end of the range that is nearer to zero, where the steps may not reach."""

FIRST_LINE = "<!-- written by llm-explainer export -->"
_N_PROMPTS = 4  # of which the logits are compared


@dataclass(frozen=True)
class Proof:
    """What came of reading back what was written."""

    path: Path
    n_bytes: int
    difference: float  # the largest in the logits
    largest: float  # logit
    n_texts: int  # whose ids are equal; 0 where none were compared
    more: tuple[tuple[str, str], ...] = ()  # what else there is to say, as labels and words

    def rows(self) -> list[tuple[str, str]]:
        """Return it as labels and words."""
        return [
            ("written", f"{self.path}, {self.n_bytes / 1e6:,.1f} MB"),
            ("logits", f"within {self.difference:.1e}, of up to {self.largest:.1f}"),
            *([("ids", f"equal for {self.n_texts:,} texts")] if self.n_texts else []),
            *self.more,
        ]


def prove(
    model: Any, tokenizer: Tokenizer, path: Path, texts: Sequence[str], bound: float
) -> Proof:
    """Read a model again and compare it.

    Args:
        model: what was written.
        tokenizer: its own.
        path: where to read it.
        texts: whose ids are compared, and of the first few the logits.
        bound: by how much logits may differ, as a share of the largest.

    Raises:
        CheckpointError: logits or ids differ.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LLMExplainerWarning)  # that numbers were rounded is known
        found, read = load_checkpoint(path, "numpy")
    for text in texts:
        if tokenizer.encode(text) != read.encode(text):
            raise CheckpointError(
                f"read again, it has other ids for {text[:40]!r}; it is not written"
            )
    difference, largest = compare_logits(model, found, tokenizer, texts, bound)
    return Proof(path, bytes_of(path), difference, largest, len(texts))


def compare_logits(
    model: Any, found: Any, tokenizer: Tokenizer, texts: Sequence[str], bound: float
) -> tuple[float, float]:
    """Return the largest difference in the logits of the first few texts, and the largest logit.

    Raises:
        CheckpointError: the difference is over ``bound`` as a share of the largest, or no number;
            there is no text of a token or more.
    """
    encoded = (tokenizer.encode(text)[: model.config.context_length] for text in texts)
    differences, sizes = [], []
    for ids in islice(filter(None, encoded), _N_PROMPTS):
        expected = model(np.array([ids]))
        differences.append(np.abs(found(np.array([ids])) - expected).max())
        sizes.append(np.abs(expected).max())
    if not sizes:
        raise CheckpointError("no text of a token or more to compare logits of; give one")
    # Python's own max drops what is no number where it isn't the first.
    difference, largest = float(np.max(differences)), float(np.max(sizes))
    if not difference <= bound * largest:
        raise CheckpointError(
            f"read again, it gives logits that are {difference:.2g} off, where rounding explains "
            f"{bound * largest:.2g}; it is not written"
        )
    return difference, largest


def compare_weights(model: Any, path: Path, packing: Packing) -> float:
    """Return by how many steps of its group's range the farthest weight of a packed model is off.

    Raises:
        CheckpointError: it is farther than rounding explains.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LLMExplainerWarning)
        found = flatten(load_model(path, "numpy").parameters())
    farthest = [0.0]
    for name, array in flatten(model.parameters()).items():
        off = np.abs(found[name] - np.asarray(array))
        if not off.any():
            continue
        if not packing.takes(off.shape):
            raise CheckpointError(f"read again, {name} is {off.max():.2g} off; it is not written")
        groups = np.asarray(array).reshape(len(off), -1, packing.group_size)
        step = np.ptp(groups, axis=-1) / (2**packing.bits - 1)  # (O, groups)
        steps = off.reshape(groups.shape).max(-1) / np.maximum(step, 1e-7)
        farthest.append(float(steps.max()))
    most = float(np.max(farthest))  # which is no number where one of them is none
    if not most <= MOST_STEPS:
        raise CheckpointError(
            f"read again, a weight is {most:.2g} steps off, where rounding explains "
            f"{MOST_STEPS}; it is not written"
        )
    return most


def bytes_of(path: Path) -> int:
    """Return the size of a file, or of the weights in a directory."""
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


@contextmanager
def new_folder(folder: Path, known_files: Sequence[str], *, overwrite: bool) -> Iterator[Path]:
    """Yield a folder that takes the place of ``folder`` at the end, and nothing after an error.

    Raises:
        CheckpointError: something is in the way; it cannot be written; what the block raises, with
            the folder's name for that of the new one, which nobody will find.
    """
    new = None
    try:
        with write_directory(absolute(folder), (*known_files, CARD), overwrite=overwrite) as new:
            yield new
    except OSError as error:
        reason = error.strerror or f"not all of it could be written ({error})"
        raise CheckpointError(f"cannot write {folder}: {reason}") from None
    except CheckpointError as error:
        if new is None or str(new) not in str(error):
            raise
        raise CheckpointError(str(error).replace(str(new), str(folder))) from None


def write_card(folder: Path, model: Any, proof: Proof, source: str) -> None:
    """Write what the model is, where it came from and what was proved."""
    title = proof.path.name
    rows = "\n".join(f"- {label}: {words}" for label, words in proof.rows()[1:])
    text = (
        f"{FIRST_LINE}\n# {title}\n\n"
        f"{model.config.described()}.\n\n"
        f"- made of: `{source}`\n- SHA-256 of its weights: `{fingerprint(model)}`\n{rows}\n"
    )
    (folder / CARD).write_text(text, encoding="utf-8")
