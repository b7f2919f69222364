"""What one step of training on a text changes: the weights that move most, and what it then says.

Plain gradient descent, p = p - rate · gradient, so that the step can be seen in the gradient; the
trainer's AdamW divides by a running scale of its own (chapter 8).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_explainer.plain.contract import Array
from llm_explainer.plain.model import gpt
from llm_explainer.tracing.recording import Trace
from llm_explainer.tracing.target import Target, log_softmax
from llm_explainer.tracing.threads import threads_for
from llm_explainer.tree import Tree, flatten, unflatten

RATE = 1e-3


@dataclass(frozen=True)
class Weight:
    """One number of the parameters, and the gradient by it."""

    name: str  # of its array, such as "blocks.0.attention.qkv_proj.weight"
    index: tuple[int, ...]  # in it
    value: float
    gradient: float


@dataclass(frozen=True)
class Step:
    """A step of gradient descent on the loss of a text of T tokens."""

    rate: float
    loss_before: float  # nats a token
    loss_after: float
    before: Array  # (T, V): p of every next token
    after: Array  # (T, V)
    largest: tuple[Weight, ...]  # of the loss's gradient, which the step goes against


def take_step(trace: Trace, rate: float = RATE, *, top: int = 10) -> Step:
    """Learn from the text of a trace once; the trace and its model stay as they are.

    Args:
        trace: of two tokens or more; whatever its target, the loss is what is learned from.
        rate: the learning rate.
        top: how many weights to name, of those with the largest gradients.

    Raises:
        GenerationError: one token, which has no loss.
    """
    target = Target.loss().checked(trace.n_tokens, trace.config.vocab_size)
    with threads_for(trace.config):
        gradients = _gradients_of_loss(trace, target)
        flat, slopes = flatten(trace.parameters), flatten(gradients)
        moved = {name: p - p.dtype.type(rate) * slopes[name] for name, p in flat.items()}
        parameters = unflatten(moved, like=trace.parameters)
        logits, _ = gpt(trace.ids[None], parameters, trace.config)  # (1, T, V)
    return Step(
        rate=rate,
        loss_before=float(target.values(trace.logits[None, target.rows], trace.ids)[0]),
        loss_after=float(target.values(logits[:, target.rows], trace.ids)[0]),
        before=trace.probabilities,
        after=np.exp(log_softmax(logits[0])),
        largest=largest_gradients(trace.parameters, gradients, top),
    )


def largest_gradients(parameters: Tree, gradients: Tree, top: int = 10) -> tuple[Weight, ...]:
    """Return the weights whose gradients are the farthest from 0, the farthest first."""
    values, found = flatten(parameters), []
    for name, gradient in flatten(gradients).items():
        sizes = np.abs(gradient).ravel()
        most = min(top, sizes.size)
        for place in np.argpartition(-sizes, most - 1)[:most]:
            index = tuple(int(i) for i in np.unravel_index(place, gradient.shape))
            weight = Weight(name, index, float(values[name][index]), float(gradient[index]))
            found.append(weight)
    return tuple(sorted(found, key=lambda weight: -abs(weight.gradient))[:top])


def _gradients_of_loss(trace: Trace, target: Target) -> Tree:
    if trace.target == target:
        return trace.parameter_gradients
    logits, backward = gpt(trace.ids[None], trace.parameters, trace.config)
    return backward(target.gradient(logits[0], trace.ids)[None])
