"""Of a large model's products, the terms that count: its weights would not fit on a page."""

from __future__ import annotations

import numpy as np

from llm_explainer.explorer.content import Content
from llm_explainer.explorer.formulas import makings
from llm_explainer.plain.contract import Array
from llm_explainer.tracing import Trace
from llm_explainer.tree import flatten

N_TERMS = 8


def put_largest(content: Content, trace: Trace) -> None:
    """Put, of each sum over weights for the last token, which inputs make the largest terms.

    ``largest/NAME/inputs`` and ``largest/NAME/products``, (outputs, 8), the largest first. Scores
    are left out: there are too many.
    """
    parameters = flatten(trace.parameters)
    for name, making in makings(trace.config).items():
        if making.rule != "linear" or name == "logits":
            continue
        n_outputs = _last_row(trace.activations[name]).size
        rows = slice(making.first_row, making.first_row + n_outputs)
        x = _last_row(trace.activations[making.inputs[0]])  # (I,)
        products = parameters[making.weight][rows] * x  # (O, I)
        inputs = np.argpartition(-np.abs(products), N_TERMS - 1, axis=-1)[:, :N_TERMS]
        terms = np.take_along_axis(products, inputs, -1)
        order = np.argsort(-np.abs(terms), axis=-1)
        content.put(f"largest/{name}/inputs", np.take_along_axis(inputs, order, -1), "uint32")
        content.put(f"largest/{name}/products", np.take_along_axis(terms, order, -1), "float16")


def _last_row(array: Array) -> Array:
    """Return a result's numbers for the last token: (T, D), or heads (n, T, H) side by side."""
    row: Array = array[..., -1, :].ravel()
    return row
