"""A trace as the content of a page: what is kept, and how exactly."""

from __future__ import annotations

import dataclasses

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.explorer.backward import put_backward
from llm_explainer.explorer.content import Content
from llm_explainer.explorer.formulas import makings, rotation, rules
from llm_explainer.explorer.next_tokens import (
    candidates_of,
    put_ablation,
    put_attribution,
    put_lens,
    put_scores,
)
from llm_explainer.explorer.packing import Kind
from llm_explainer.explorer.words import merges, tokens, vocabulary
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tracing import Trace, saliency, take_step
from llm_explainer.tree import flatten

MOST_PARAMETERS = 2_000_000
"""Of a model whose weights are on the page, so that each product can be shown term by term."""

EXACT_NUMBERS = 3_000_000
"""Results of a trace up to which all are kept with five digits."""

COMPUTED = ("relu", "gelu", "silu", "times", "weights")
"""Rules that the page applies by itself."""


def gather(trace: Trace, tokenizer: Tokenizer, text: str, name: str) -> Content:
    """Return all that a page shows of a trace.

    Args:
        trace: of the text; a target that is one token becomes the first candidate of its place.
        tokenizer: the model's.
        text: what was traced, for the merges.
        name: what the page calls the model.
    """
    content, config, target = Content(), trace.config, trace.target
    is_small = config.count_parameters() <= MOST_PARAMETERS
    chosen = None if target.kind == "loss" else (target.position, target.token)
    candidates = candidates_of(trace, chosen)
    content.facts |= {
        "name": name,
        "config": config.to_dict(),
        "parameters": config.count_parameters(),
        "described": config.described(),
        "tokens": tokens(tokenizer, trace.ids),
        "vocabulary": vocabulary(tokenizer, config.vocab_size),
        "merges": merges(tokenizer, text, trace.ids),
        "target": dataclasses.asdict(target),
        "value": trace.value,
        "loss": trace.loss,
        "start": trace.n_tokens - 1 if chosen is None else chosen[0],
        "windows": [config.window_of(i) for i in range(config.n_layers)],
        "makings": {name: dataclasses.asdict(m) for name, m in makings(config).items()},
        "rules": rules(),
        "rotation": rotation(config),
        "has_weights": is_small,
    }
    content.put("losses", trace.losses, "float32")
    content.put("saliency", saliency(trace), "float32")
    _put_results(content, trace)
    if is_small:
        for parameter, array in flatten(trace.parameters).items():
            content.put(f"parameters/{parameter}", array, "float16")
    put_scores(content, trace, candidates)
    put_lens(content, trace, candidates)
    put_attribution(content, trace, candidates)
    put_ablation(content, trace, candidates, trace.n_tokens if is_small else 1)
    put_backward(content, trace, take_step(trace) if trace.n_tokens > 1 else None)
    return content


def _put_results(content: Content, trace: Trace) -> None:
    """Put results and gradients, the more of them the less exactly.

    What follows from others number by number is left out: the page computes it (derive.js).
    """
    config, made = trace.config, makings(trace.config)
    is_exact = sum(array.size for array in trace.activations.values()) <= EXACT_NUMBERS
    for name, array in trace.activations.items():
        in_stream = array.ndim == 2 and array.shape[-1] == config.d_model
        kind: Kind = "float24" if is_exact else "float16" if in_stream else "int8"
        is_computed = made[name].rule in COMPUTED and (is_exact or made[name].rule != "weights")
        if not (is_computed or (name == "logits" and not is_exact)):
            shown = np.tril(array) if name.endswith(".scores") else array
            content.put(f"activations/{name}", shown, kind)
        if in_stream or (is_exact and not _is_computed_gradient(name, config)):
            kind = "float16" if is_exact else "int8"
            content.put(f"gradients/{name}", trace.gradients[name], kind)


def _is_computed_gradient(name: str, config: ModelConfig) -> bool:
    last = name.rsplit(".", 1)[-1]
    if config.activation == "swiglu" and last in ("up_proj", "gate_proj"):
        return True
    return last in ("logits", "activated")
