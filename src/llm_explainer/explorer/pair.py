"""Two models side by side on the page: one text, two traces."""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_explainer.errors import GenerationError
from llm_explainer.explorer.content import Content
from llm_explainer.plain.contract import Array
from llm_explainer.tracing import Lens, Trace, lens

N_LIKELIEST = 5


def put_pair(content: Content, one: Trace, other: Trace, names: tuple[str, str]) -> None:
    """Put what the page shows of two models on one text of T tokens; k likeliest tokens.

    Under ``pair/``: divergence (T,): KL(one || other) of what may come next, in nats (Kullback and
    Leibler 1951); and under ``pair/one/`` and ``pair/other/`` what ``_put_model`` puts.

    Raises:
        GenerationError: models that read the text as other tokens, or know others.
    """
    if one.ids.tolist() != other.ids.tolist() or one.pieces != other.pieces:
        raise GenerationError(
            f"{names[0]} and {names[1]} read the text as other tokens; side by side stand models "
            "with one tokenizer"
        )
    sizes = one.config.vocab_size, other.config.vocab_size
    if sizes[0] != sizes[1]:
        raise GenerationError(
            f"{names[0]} knows {sizes[0]} tokens and {names[1]} {sizes[1]}; side by side stand "
            "models with one vocabulary"
        )
    # Both lenses follow the same targets: what came, and last the first model's likeliest.
    read = lens(one)
    content.put("pair/divergence", _divergence(one, other))
    content.facts["pair"] = {
        "names": names,
        "targets": read.targets.tolist(),
        "one": _put_model(content, "pair/one", one, read),
        "other": _put_model(content, "pair/other", other, lens(other, targets=read.targets)),
    }


def _put_model(content: Content, place: str, trace: Trace, read: Lens) -> dict[str, Any]:
    """Put losses (T-1,); tokens and probabilities (T, k), of what may come next; lens_tokens,
    lens_probabilities and lens_of_target (R, T); attention/LAYER (n_heads, T, T). Return sizes."""
    likely = np.argsort(-trace.probabilities, axis=-1, kind="stable")[:, :N_LIKELIEST]  # (T, k)
    content.put(f"{place}/losses", trace.losses)
    content.put(f"{place}/tokens", likely, "uint32")
    chances = np.take_along_axis(trace.probabilities, likely, -1)
    content.put(f"{place}/probabilities", chances)
    content.put(f"{place}/lens_tokens", read.tokens[..., 0], "uint32")
    content.put(f"{place}/lens_probabilities", read.probabilities[..., 0], "float16")
    content.put(f"{place}/lens_of_target", read.target_probabilities, "float16")
    for i in range(trace.config.n_layers):
        weights = trace.activations[f"blocks.{i}.attention.weights"]
        content.put(f"{place}/attention/{i}", weights, "int8")
    return {
        "loss": trace.loss,
        "layers": trace.config.n_layers,
        "heads": trace.config.n_heads,
        "windows": [trace.config.window_of(i) for i in range(trace.config.n_layers)],
        "rows": read.rows,
    }


def _divergence(one: Trace, other: Trace) -> Array:
    """Return Σ p log(p / q) at each position, (T,)."""
    p, q = (trace.probabilities.astype(np.float64) for trace in (one, other))
    tiny = np.finfo(np.float64).tiny  # of what has no chance at all nothing is to be seen
    divergence: Array = (p * np.log(np.maximum(p, tiny) / np.maximum(q, tiny))).sum(-1)
    return divergence
