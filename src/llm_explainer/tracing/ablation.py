"""Ablation: leave one head or one feed-forward network out, and see what becomes of the target.

It asks what a part does here, through all that comes after it, which neither its attention map nor
its attribution tells: weights of attention may be changed a great deal without changing what the
model says (Jain and Wallace 2019, "Attention is not explanation"). Nor is it the last word: other
parts may make up for one that is gone (McGrath et al. 2023, "The hydra effect").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from llm_explainer.errors import GenerationError
from llm_explainer.plain.block import block
from llm_explainer.plain.contract import Array
from llm_explainer.plain.model import unembed
from llm_explainer.tracing.recording import Trace
from llm_explainer.tracing.threads import threads_for

Instead = Literal["zero", "mean"]

MOST_TOGETHER = 2048
"""Tokens that are worked through at once, which bounds the memory."""


@dataclass(frozen=True)
class Ablation:
    """The target without each part; L = n_layers, or so many as were asked for."""

    value: float  # the target with all parts
    heads: Array  # (L, n_heads): the target without that head
    feed_forwards: Array  # (L,): without that feed-forward network

    @property
    def head_effects(self) -> Array:
        """What each head's absence adds to the target, (L, n_heads)."""
        return self.heads - self.value

    @property
    def feed_forward_effects(self) -> Array:
        """What each feed-forward network's absence adds to the target, (L,)."""
        return self.feed_forwards - self.value


def ablate(trace: Trace, instead: Instead = "zero", *, last_layers: int | None = None) -> Ablation:
    """Leave each head and each feed-forward network out at all positions, one at a time.

    Args:
        trace: of a text; its target is measured.
        instead: what the part writes now: nothing ("zero"), or at every position its mean over this
            text ("mean"), which takes its news away and leaves what it always says.
        last_layers: leave parts of so many layers out, the last ones, and not of all.

    Raises:
        GenerationError: another word for ``instead``.
    """
    if instead not in ("zero", "mean"):
        raise GenerationError(f"instead is {instead!r}; it takes 'zero' or 'mean'")
    layers = range(trace.config.n_layers)[-(last_layers or trace.config.n_layers) :]
    with threads_for(trace.config):
        values = np.array([_without(trace, layer, instead) for layer in layers])
    return Ablation(trace.value, values[:, :-1], values[:, -1])


def _without(trace: Trace, layer: int, instead: Instead) -> Array:
    """Return the target without each head of a layer, then without its feed-forward network."""
    n_heads = trace.config.n_heads
    most = max(1, MOST_TOGETHER // trace.n_tokens)
    parts = np.arange(n_heads + 1)
    together = np.split(parts, range(most, len(parts), most))
    return np.concatenate([_values_without(trace, layer, some, instead) for some in together])


def _values_without(trace: Trace, layer: int, parts: Array, instead: Instead) -> Array:
    """Return the target (B,) of B passes, each without one part: a head, or last the network."""
    config, n_heads = trace.config, trace.config.n_heads

    def leave_out(name: str, array: Array) -> None:
        """Change what goes on, which ``record`` allows."""
        for row, part in enumerate(parts):
            if name == "attention.heads" and part < n_heads:
                written = array[row, part]  # (T, H)
            elif name == "feed_forward" and part == n_heads:
                written = array[row]  # (T, D)
            else:
                continue
            written[:] = 0 if instead == "zero" else written.mean(0)

    # What comes before the layer is as it was.
    start = trace.activations[f"blocks.{layer - 1}" if layer else "embeddings"]  # (T, D)
    x = np.repeat(start[None], len(parts), axis=0)  # (B, T, D)
    for i in range(layer, config.n_layers):
        p = trace.parameters["blocks"][i]
        if i == layer:
            x, _ = block(x, p, config, record=leave_out, layer=i)
        else:
            x, _ = block(x, p, config, layer=i)
    logits, _ = unembed(x[:, trace.target.rows], trace.parameters, config)  # (B, R, V)
    return trace.target.values(logits, trace.ids)
