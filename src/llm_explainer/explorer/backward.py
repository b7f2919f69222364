"""The way back on the page: every gradient, the rule that made it, and what a step changes."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from llm_explainer.explorer.content import Content
from llm_explainer.explorer.formulas import source_line
from llm_explainer.plain.contract import Array
from llm_explainer.tracing import EXPLANATIONS, Rule, Step, Trace, terms_of, way_back
from llm_explainer.tree import flatten

N_LIKELIEST = 5


def put_backward(content: Content, trace: Trace, step: Step | None) -> None:
    """Put what the page shows of the backward pass; N results, W ways in all, T tokens.

    Under ``backward/``: lengths (N, T), of each result's gradient at each token, in the order of
    the way back; ways (W, T), of their terms, one after the other; and what ``_put_step`` puts.
    """
    names = list(trace.gradients)[::-1]
    terms = {name: terms_of(name, trace.config) for name in names}
    lengths = [_lengths(trace.gradients[name]) for name in names]
    ways = [_lengths(way_back(trace, name, term)) for name in names for term in terms[name]]
    content.put("backward/lengths", np.stack(lengths))
    content.put("backward/ways", np.stack(ways))
    content.facts["backward"] = {
        "nodes": [
            {
                "name": name,
                "shape": trace.gradients[name].shape,
                "terms": [dataclasses.asdict(term) for term in terms[name]],
            }
            for name in names
        ],
        "rules": {rule: _explained(rule) for rule in EXPLANATIONS},
        "parameters": [
            {"name": name, "shape": gradient.shape, "length": float(np.linalg.norm(gradient))}
            for name, gradient in flatten(trace.parameter_gradients).items()
        ],
        "step": None if step is None else _put_step(content, trace, step),
    }


def _lengths(gradient: Array) -> Array:
    """Return how long a gradient is at each token, (T,); its next to last axis is tokens."""
    rest = tuple(axis for axis in range(gradient.ndim) if axis != gradient.ndim - 2)
    lengths: Array = np.sqrt((gradient.astype(np.float64) ** 2).sum(rest))
    return lengths


def _explained(rule: Rule) -> dict[str, Any]:
    """Return a rule in words, and where in ``plain/`` it stands."""
    said = EXPLANATIONS[rule]
    where = source_line(said.function.removeprefix("plain."), said.code)
    return {"words": said.words, "formula": said.formula, **where}


def _put_step(content: Content, trace: Trace, step: Step) -> dict[str, Any]:
    """Put what a step of training changes: before and after (T-1,), of the tokens that came;
    likely, before_of, after_of (T, k), of the likeliest ones. Return the rest of it."""
    places, came = np.arange(trace.n_tokens - 1), trace.ids[1:]
    likely = np.argsort(-step.before, axis=-1, kind="stable")[:, :N_LIKELIEST]  # (T, k)
    content.put("backward/before", step.before[places, came])
    content.put("backward/after", step.after[places, came])
    content.put("backward/likely", likely, "uint32")
    content.put("backward/before_of", np.take_along_axis(step.before, likely, -1))
    content.put("backward/after_of", np.take_along_axis(step.after, likely, -1))
    return {
        "rate": step.rate,
        "lossBefore": step.loss_before,
        "lossAfter": step.loss_after,
        "largest": [dataclasses.asdict(weight) for weight in step.largest],
    }
