"""The table of rules is the backward pass: each gradient comes out of its own terms."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from small_models import SWITCHES, Array
from small_traces import traced

from llm_explainer import plain
from llm_explainer.plain.activations import ACTIVATIONS, silu
from llm_explainer.tracing import Target, Trace
from llm_explainer.tracing.rules import EXPLANATIONS, Term, terms_of
from llm_explainer.tree import flatten


def recomputed(term: Term, name: str, found: Trace) -> Array:
    """Return a term of the gradient of ``name`` by its rule, from arrays of the trace alone."""
    config, seen, shape = found.config, found.activations, found.activations[name].shape
    parameters = flatten(found.parameters)
    dy = found.gradients.get(term.of)
    inputs = [seen[each] for each in term.inputs]

    def grouped(array: Array) -> Array:
        return np.repeat(array, config.n_heads // array.shape[0], axis=0)

    def by_group(array: Array) -> Array:
        return array.reshape(config.n_kv_heads, -1, *array.shape[1:]).sum(1)

    scale = config.head_dim**-0.5
    match term.rule:
        case "target":
            return found.target.gradient(found.logits, found.ids)
        case "same":
            return dy
        case "linear":
            if dy.ndim == 3:  # (heads, T, H)
                dy = dy.swapaxes(0, 1).reshape(dy.shape[1], -1)
            weight = parameters[term.weight][term.first_row :][: dy.shape[1]]
            dx = dy @ weight
            return dx if len(shape) == 2 else dx.reshape(shape[1], shape[0], -1).swapaxes(0, 1)
        case "norm":
            is_rms = config.norm == "rmsnorm" or term.weight.endswith(
                ("q_norm.weight", "k_norm.weight")
            )
            f = plain.rms_norm if is_rms else plain.layer_norm
            p = {"weight": parameters[term.weight]}
            return f(sum(inputs), p, config.norm_eps)[1](dy)[0]
        case "rotate":
            places = np.arange(found.n_tokens)
            x = np.zeros_like(dy)
            return plain.rotate(x, places, config.rope_theta, config.rope_scaling)[1](dy)
        case "queries":
            return dy @ grouped(inputs[0]) * scale
        case "keys":
            return by_group(dy.swapaxes(1, 2) @ inputs[0] * scale)
        case "values":
            return by_group(inputs[0].swapaxes(1, 2) @ dy)
        case "weights":
            return dy @ grouped(inputs[0]).swapaxes(1, 2)
        case "softmax":
            return inputs[0] * (dy - (inputs[0] * dy).sum(-1, keepdims=True))
        case "slope":
            f = silu if config.activation == "swiglu" else ACTIVATIONS[config.activation]
            return f(inputs[0])[1](dy)
        case "times":
            return dy * inputs[0]
    raise AssertionError(term)


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_every_gradient_is_the_sum_of_its_terms(changes: dict[str, Any]) -> None:
    _, found = traced({**changes, "n_layers": 2})
    for name, gradient in found.gradients.items():
        terms = terms_of(name, found.config)
        total = sum(recomputed(term, name, found) for term in terms)
        np.testing.assert_allclose(total, gradient, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("target", [Target.logit(2, 3), Target.log_probability(-1, 1)])
def test_the_way_back_begins_at_the_target(target: Target) -> None:
    _, found = traced(target=target)
    (term,) = terms_of("logits", found.config)
    assert term.rule == "target"
    dlogits = np.zeros_like(found.logits)
    dlogits[found.target.position, target.token] = 1
    if target.kind == "log_probability":
        dlogits[found.target.position] -= found.probabilities[found.target.position]
    np.testing.assert_allclose(found.gradients["logits"], dlogits, rtol=1e-12)


@pytest.mark.parametrize("rule", EXPLANATIONS)
def test_the_line_that_is_named_stands_in_plain(rule: Any) -> None:
    explanation = EXPLANATIONS[rule]
    module, _, function = explanation.function.rpartition(".")
    source = inspect.getsource(getattr(import_module(f"llm_explainer.{module}"), function))
    assert source.count(explanation.code) == 1
