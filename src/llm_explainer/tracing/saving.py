"""A trace as a file: NumPy's ``.npz``, an array for each name; nothing in it can run code."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.errors import ConfigError
from llm_explainer.files import check_place, open_atomically
from llm_explainer.tracing.recording import Trace
from llm_explainer.tree import flatten


def check_trace_file(path: str | os.PathLike[str]) -> None:
    """Refuse a place where no trace can be written, before anything is computed for it.

    Raises:
        ConfigError: as ``files.check_place``.
    """
    check_place(Path(path), _is_trace, "trace")


def _is_trace(path: Path) -> bool:
    """Return whether a file is one that ``save_trace`` wrote."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as arrays:
            return {"ids.npy", "pieces.npy", "target.npy"} <= set(arrays.namelist())
    except zipfile.BadZipFile:
        return False


def save_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace; ``np.load(path)`` gives the arrays by name.

        ids (T,), pieces (T,)                   bytes as hexadecimal digits
        losses (T-1,), value ()                 in nats; the target's value
        activations/blocks.0.attention.weights  and so on, by the names of ``plain/model.py``
        gradients/blocks.0.attention.weights    the target's gradient by it
        parameter_gradients/head.weight         and so on, by the parameters' dotted names
        config, target                          as JSON

    Raises:
        ConfigError: as ``check_trace_file``; the folder is not writable, or the disk is full.
    """
    check_trace_file(path)
    target = trace.target
    arrays: dict[str, Any] = {
        "ids": trace.ids,
        "pieces": np.array([piece.hex() for piece in trace.pieces]),
        "losses": trace.losses,
        "value": np.array(trace.value),
        "config": np.array(json.dumps(trace.config.to_dict())),
        "target": np.array(
            json.dumps({"kind": target.kind, "position": target.position, "token": target.token})
        ),
    }
    for kind, named in (
        ("activations", trace.activations),
        ("gradients", trace.gradients),
        ("parameter_gradients", flatten(trace.parameter_gradients)),
    ):
        arrays |= {f"{kind}/{name}": array for name, array in named.items()}
    try:
        with open_atomically(Path(path).resolve()) as file:  # a link stays one
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:  # which names the file that would have been renamed
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from None
