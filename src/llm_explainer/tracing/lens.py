"""The logit lens: what each layer would say if the head read the residual stream there.

The stream is as wide after the first block as after the last, and each block only adds to it. So
the final norm and the head can read it anywhere (nostalgebraist 2020, "interpreting GPT: the logit
lens"). That an early layer "thinks" of a token is a way of speaking: nothing trained it to be read.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_explainer.plain.contract import Array
from llm_explainer.plain.model import unembed
from llm_explainer.tracing.recording import Trace
from llm_explainer.tracing.target import log_softmax
from llm_explainer.tracing.threads import threads_for


@dataclass(frozen=True)
class Lens:
    """What the head reads in R rows, the places of the residual stream, at each of T positions."""

    rows: tuple[str, ...]  # names of activations, from "embeddings" to the last block
    tokens: Array  # (R, T, k): ids of the likeliest next tokens, the likeliest first
    probabilities: Array  # (R, T, k): theirs
    targets: Array  # (T,): the ids that are followed
    target_probabilities: Array  # (R, T)
    ranks: Array  # (R, T): of the target; 0 for the likeliest


def lens(
    trace: Trace, *, targets: int | Array | None = None, top: int = 5, after_attention: bool = False
) -> Lens:
    """Read the residual stream at the embeddings and after every block, with the final norm.

    Args:
        trace: of a text of T tokens.
        targets: an id to follow, or one for each position (T,); by default those that came next,
            and last the likeliest.
        top: how many tokens to keep of each place.
        after_attention: also read between a block's attention and its feed-forward network.

    With ``norm_position`` "post" each block ends with a norm, so that there is no final one.
    """
    if targets is None:
        targets = np.append(trace.ids[1:], trace.logits[-1].argmax())
    targets = np.broadcast_to(targets, trace.ids.shape)  # (T,)
    top = min(top, trace.config.vocab_size)
    rows = stream_names(trace, after_attention=after_attention)
    with threads_for(trace.config):
        read = [_read(lens_logits(trace, name), targets, top) for name in rows]
    tokens, probabilities, of_targets, ranks = (np.stack(part) for part in zip(*read, strict=True))
    return Lens(rows, tokens, probabilities, targets, of_targets, ranks)


def stream_names(trace: Trace, *, after_attention: bool = False) -> tuple[str, ...]:
    """Return the names of the residual stream's states, in order."""
    names = ["embeddings"]
    for i in range(trace.config.n_layers):
        names += [f"blocks.{i}.residual"] * after_attention + [f"blocks.{i}"]
    return tuple(names)


def lens_logits(trace: Trace, name: str) -> Array:
    """Return what the head makes of a state of the residual stream, (T, V).

    Of the last block's it is the model's output, bit for bit.
    """
    logits, _ = unembed(trace.activations[name][None], trace.parameters, trace.config)
    of_one_text: Array = logits[0]
    return of_one_text


def _read(logits: Array, targets: Array, top: int) -> tuple[Array, Array, Array, Array]:
    """Return the likeliest tokens, their probabilities, and the targets' and their ranks."""
    probabilities = np.exp(log_softmax(logits))  # (T, V)
    found = np.argpartition(-logits, top - 1, axis=-1)[:, :top]  # (T, k), in any order
    order = np.argsort(-np.take_along_axis(logits, found, -1), axis=-1, kind="stable")
    likeliest = np.take_along_axis(found, order, -1)  # (T, k)
    of_targets = np.take_along_axis(probabilities, targets[:, None], -1)  # (T, 1)
    theirs = np.take_along_axis(logits, targets[:, None], -1)  # (T, 1)
    ranks = (logits > theirs).sum(-1)  # (T,)
    of_likeliest = np.take_along_axis(probabilities, likeliest, -1)
    return likeliest, of_likeliest, of_targets[:, 0], ranks
