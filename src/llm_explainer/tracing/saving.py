"""A trace as a file: NumPy's ``.npz``, an array for each name; nothing in it can run code."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np

from llm_explainer.errors import GenerationError
from llm_explainer.files import open_atomically
from llm_explainer.tracing.recording import Trace
from llm_explainer.tree import flatten


def save_trace(trace: Trace, path: str | os.PathLike[str]) -> None:
    """Write a trace; ``np.load(path)`` gives the arrays by name.

        ids (T,), pieces (T,)                   bytes as hexadecimal digits
        losses (T-1,), value ()                 in nats; the target's value
        activations/blocks.0.attention.weights  and so on, by the names of ``plain/model.py``
        gradients/blocks.0.attention.weights    the target's gradient by it
        parameter_gradients/head.weight         and so on, by the parameters' dotted names
        config, target                          as JSON

    Raises:
        GenerationError: the folder is missing or not writable, or the disk is full.
    """
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
        with open_atomically(path) as file:
            np.savez(file, allow_pickle=False, **arrays)
    except OSError as error:  # which names the file that would have been renamed
        raise GenerationError(f"cannot write {path}: {error.strerror or error}") from None
