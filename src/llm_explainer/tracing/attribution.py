"""Direct logit attribution: a token's score as a sum over what was added to the residual stream.

The stream at a position is a sum: the embeddings, what each head wrote, what each feed-forward
network wrote, and biases. The head reads it through the final norm, which divides by a number of
its own making; with that number held at its value all is linear, and each part's share of the score
can be read off (Elhage et al. 2021, "A mathematical framework for transformer circuits", "Zero
layer transformers" and "Splitting attention head terms").

It says what was written straight into the score, and not what a part did through later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from llm_explainer.plain.contract import Array
from llm_explainer.tracing.recording import Trace
from llm_explainer.tracing.target import Target, place_of
from llm_explainer.tree import Tree


@dataclass(frozen=True)
class Attribution:
    """The parts of a score, in the order of the forward pass; ``names`` end with what each is.

    ``token_embedding``, ``position_embedding``, ``blocks.0.attention.heads.3``,
    ``blocks.0.feed_forward``; a bias by its parameter: ``blocks.0.attention.out_proj.bias``.
    """

    position: int  # after which the token would come
    token: int
    against: int | None  # the parts are those of logit(token) - logit(against)
    names: tuple[str, ...]
    values: Array  # (n,), float64
    logit: float  # what the model gave, or the difference

    @property
    def total(self) -> float:
        """The sum of the parts: the logit, up to rounding."""
        return float(self.values.sum())


def attribute(
    trace: Trace, position: int = -1, token: int | None = None, *, against: int | None = None
) -> Attribution:
    """Split up the score that a token has as the next one after a position.

    Args:
        trace: of a text; its target does not matter.
        position: counted from either end of the text.
        token: an id; by default the likeliest.
        against: an id whose score is subtracted, which answers "why this one and not that one?".

    With ``norm_position`` "post" every norm of every block is held at its scale, not only one.

    Raises:
        GenerationError: a position or token that the text or the model lacks.
    """
    logits = trace.logits
    position = place_of(position, trace.n_tokens)
    token = int(logits[position].argmax()) if token is None else token
    for each in (token, token if against is None else against):
        Target.logit(position, each).checked(trace.n_tokens, trace.config.vocab_size)
    p, config = trace.parameters, trace.config
    table = p["token_embedding" if config.tie_embeddings else "head"]["weight"]  # (V, D)
    direction = table[token].astype(np.float64)  # (D,): float64, so that sums add nothing of theirs
    logit = float(logits[position, token])
    if against is not None:
        direction = direction - table[against]
        logit -= float(logits[position, against])
    parts = parts_of_scores(trace, position)
    values = np.array([part @ direction for part in parts.values()])
    return Attribution(position, token, against, tuple(parts), values, logit)


Parts = dict[str, Array]
"""Vectors (D,) by name, whose sum is the residual stream at one position."""


def parts_of_scores(trace: Trace, position: int) -> Parts:
    """Return the vectors whose products with a token's row of the head sum to its score."""
    parts, config = _parts_of_stream(trace, position), trace.config
    if config.norm_position == "post":
        return parts
    stream = trace.activations[f"blocks.{config.n_layers - 1}"][position]
    return _held(trace, "final_norm", trace.parameters["final_norm"], stream)(parts)


def _parts_of_stream(trace: Trace, position: int) -> Parts:
    """Return what the residual stream is the sum of behind the last block, at a position."""
    seen, config = trace.activations, trace.config
    parts: Parts = {"token_embedding": seen["token_embedding"][position].astype(np.float64)}
    if config.position != "rope":
        parts["position_embedding"] = seen["position_embedding"][position].astype(np.float64)
    stream = "embeddings"
    for i, p in enumerate(trace.parameters["blocks"]):
        for name, written in (
            ("attention", _by_attention(trace, f"blocks.{i}", p, position)),
            ("feed_forward", _by_feed_forward(trace, f"blocks.{i}", p, position)),
        ):
            parts |= written
            if config.norm_position == "post":
                before = seen[stream][position] + seen[f"blocks.{i}.{name}"][position]
                stream = f"blocks.{i}.{name}_norm"
                parts = _held(trace, stream, p[f"{name}_norm"], before)(parts)
    return parts


def _by_attention(trace: Trace, block: str, p: Tree, position: int) -> Parts:
    """Return what each head wrote: its part of the columns of ``out_proj``, times what it made."""
    heads = trace.activations[f"{block}.attention.heads"][:, position].astype(np.float64)
    out = p["attention"]["out_proj"]
    columns = out["weight"].reshape(-1, *heads.shape)  # (D, n_heads, H)
    written = np.einsum("nh,dnh->nd", heads, columns)  # (n_heads, D)
    parts = {f"{block}.attention.heads.{j}": each for j, each in enumerate(written)}
    if "bias" in out:
        parts[f"{block}.attention.out_proj.bias"] = out["bias"].astype(np.float64)
    return parts


def _by_feed_forward(trace: Trace, block: str, p: Tree, position: int) -> Parts:
    """Return what the feed-forward network wrote, and its last bias apart from it."""
    down = p["feed_forward"]["down_proj"]
    hidden = trace.activations[f"{block}.feed_forward.hidden"][position].astype(np.float64)  # (F,)
    parts = {f"{block}.feed_forward": down["weight"] @ hidden}  # (D, F) @ (F,) -> (D,)
    if "bias" in down:
        parts[f"{block}.feed_forward.down_proj.bias"] = down["bias"].astype(np.float64)
    return parts


def _held(trace: Trace, name: str, p: Tree, x: Array) -> Callable[[Parts], Parts]:
    """Return a norm with its scale held at what it is for x (D,): a linear function, plus a bias.

    ``layer_norm`` takes the mean off, which is linear too: each part loses its own.
    """
    x, is_layer_norm = x.astype(np.float64), trace.config.norm == "layernorm"
    variance = x.var() if is_layer_norm else (x * x).mean()
    scale = p["weight"] / np.sqrt(variance + trace.config.norm_eps)  # (D,)

    def norm(parts: Parts) -> Parts:
        normed = {
            part: (vector - vector.mean() if is_layer_norm else vector) * scale
            for part, vector in parts.items()
        }
        bias = {f"{name}.bias": p["bias"].astype(np.float64)} if "bias" in p else {}
        return normed | bias

    return norm
