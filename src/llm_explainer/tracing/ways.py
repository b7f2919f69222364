"""A gradient way by way: each term of ``rules``, computed from a trace alone.

The terms of a result add up to its gradient. In the residual stream this tells what came straight
back along it from what came through a layer.
"""

from __future__ import annotations

import numpy as np

from llm_explainer.plain.activations import ACTIVATIONS, silu
from llm_explainer.plain.contract import Array
from llm_explainer.plain.layers import layer_norm, rms_norm
from llm_explainer.plain.positions import rotate
from llm_explainer.tracing.recording import Trace
from llm_explainer.tracing.rules import Term


def way_back(trace: Trace, name: str, term: Term) -> Array:
    """Return a term of the gradient by the result ``name``, shaped like it.

    It comes from the gradient by ``term.of``, and from results and parameters that the term names.
    """
    if term.rule == "target":
        return trace.target.gradient(trace.logits, trace.ids)
    dy = trace.gradients[term.of]
    if term.rule in ("queries", "keys", "values", "weights", "softmax"):
        return _in_attention(trace, term, dy)
    inputs = [trace.activations[each] for each in term.inputs]
    match term.rule:
        case "linear":
            return _of_linear(trace, term, dy, is_in_heads=trace.activations[name].ndim == 3)
        case "norm":
            return _of_norm(trace, term, dy, np.sum(inputs, axis=0))
        case "rotate":
            config, places = trace.config, np.arange(trace.n_tokens)
            _, turn_back = rotate(dy, places, config.rope_theta, config.rope_scaling)
            return turn_back(dy)
        case "slope":
            is_gate = trace.config.activation == "swiglu"
            _, bend_back = (silu if is_gate else ACTIVATIONS[trace.config.activation])(inputs[0])
            return bend_back(dy)
        case "times":
            product: Array = dy * inputs[0]
            return product
        case _:
            return dy


def _of_linear(trace: Trace, term: Term, dy: Array, *, is_in_heads: bool) -> Array:
    """dy W, for the rows of W that made y."""
    if dy.ndim == 3:  # (heads, T, H) -> (T, heads · H)
        dy = dy.swapaxes(0, 1).reshape(dy.shape[1], -1)
    weight = trace.parameter(term.weight)[term.first_row :][: dy.shape[1]]  # (O, I)
    dx: Array = dy @ weight  # (T, I)
    if not is_in_heads:
        return dx
    return dx.reshape(len(dx), trace.config.n_heads, -1).swapaxes(0, 1)  # (n_heads, T, H)


def _of_norm(trace: Trace, term: Term, dy: Array, x: Array) -> Array:
    is_inside = ".attention." in term.weight  # of queries or keys
    norm = rms_norm if is_inside or trace.config.norm == "rmsnorm" else layer_norm
    _, backward = norm(x, {"weight": trace.parameter(term.weight)}, trace.config.norm_eps)
    dx: Array = backward(dy)[0]
    return dx


def _in_attention(trace: Trace, term: Term, dy: Array) -> Array:
    """The rules of ``causal_attention``; where heads share keys and values, they add up."""
    config, other = trace.config, trace.activations[term.inputs[0]]
    scale = config.head_dim**-0.5
    shared = np.repeat(other, config.n_heads // len(other), axis=0)  # (n_heads, T, ...)
    dx: Array
    match term.rule:
        case "queries":
            dx = dy @ shared * scale  # (n_heads, T, H)
        case "weights":
            dx = dy @ shared.swapaxes(1, 2)  # (n_heads, T, T)
        case "softmax":
            dx = other * (dy - (other * dy).sum(-1, keepdims=True))  # (n_heads, T, T)
        case "keys":
            dx = _of_groups(dy.swapaxes(1, 2) @ other * scale, config.n_kv_heads)
        case _:
            dx = _of_groups(other.swapaxes(1, 2) @ dy, config.n_kv_heads)
    return dx


def _of_groups(dx: Array, n_kv_heads: int) -> Array:
    """(n_heads, T, H) -> (n_kv_heads, T, H)."""
    summed: Array = dx.reshape(n_kv_heads, -1, *dx.shape[1:]).sum(1)
    return summed
