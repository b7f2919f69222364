"""Which rule made each gradient: the backward pass of ``plain/`` as a table.

A result's gradient is a sum over the ways on which the target depends on it. Each way is a term: a
rule, the results whose gradients it takes, and the numbers of the forward pass that it needs. So a
single number of a gradient can be shown with everything that it came from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from llm_explainer.config import ModelConfig

Rule = Literal[
    "target", "same", "linear", "norm", "rotate", "queries", "keys", "values", "weights",
    "softmax", "slope", "times",
]  # fmt: skip


@dataclass(frozen=True)
class Term:
    """One way by which a gradient comes back. dz is the target's gradient by z."""

    rule: Rule
    of: str = ""  # the later result, z, whose gradient comes back
    inputs: tuple[str, ...] = ()  # results of the forward pass that the rule needs
    weight: str = ""  # the parameter that it needs
    first_row: int = 0  # of the weight: q, k and v share one


@dataclass(frozen=True)
class Explanation:
    """A rule in words and signs, and the line of ``plain/`` that computes it."""

    words: str
    formula: str
    function: str  # as in "plain.layers.linear"
    code: str  # one of its lines begins so


EXPLANATIONS: dict[Rule, Explanation] = {
    "target": Explanation(
        "here the way back begins",
        "loss: (p - 1 for the token that came, p for the others) / (T - 1)",
        "plain.loss.cross_entropy",
        "dlogits: Array = (np.exp(log_p) - is_target) * shares[..., None]",
    ),
    "same": Explanation(
        "it was added, so its gradient is the sum's, whole",
        "y = x + f  ⇒  dx = dy",
        "plain.block.residual",
        "return dx + dy,",
    ),
    "linear": Explanation(
        "each input reached every output through its column of the weight",
        "y = x Wᵀ  ⇒  dx = dy W",
        "plain.layers.linear",
        'return dy @ p["weight"], grads',
    ),
    "norm": Explanation(
        "the slope of the norm; moving x along itself does not move y, so that part is taken off",
        "dx = (dx̂ - mean(dx̂) - x̂ · mean(dx̂ · x̂)) / std, with dx̂ = dy · w; rms norm: no mean(dx̂)",
        "plain.layers.layer_norm",
        "return (dx_hat - along_ones - along_x_hat) / std, grads",
    ),
    "rotate": Explanation(
        "it was rotated by its place, so its gradient is rotated back",
        "dx = R(-angle) dy",
        "plain.positions.rotate",
        "return np.concatenate([dfirst * cos + dsecond * sin",
    ),
    "queries": Explanation(
        "a query gets of every key as much as its score's gradient says",
        "dq = dscores K / sqrt(H)",
        "plain.attention.causal_attention",
        "dq = dscores @ keys * scale",
    ),
    "keys": Explanation(
        "a key gets of every query that saw it",
        "dk = dscoresᵀ Q / sqrt(H), summed over the heads that it serves",
        "plain.attention.causal_attention",
        "dkeys = dscores.swapaxes(-1, -2) @ q * scale",
    ),
    "values": Explanation(
        "a value gets of every head's gradient as much as was taken of it",
        "dv = weightsᵀ dheads, summed over the heads that it serves",
        "plain.attention.causal_attention",
        "dvalues = weights.swapaxes(-1, -2) @ dheads",
    ),
    "weights": Explanation(
        "a weight's gradient: how much its value points where the head ought to go",
        "dweights = dheads Vᵀ",
        "plain.attention.causal_attention",
        "dweights = dheads @ values.swapaxes(-1, -2)",
    ),
    "softmax": Explanation(
        "weights sum to 1: what one gains, the others lose",
        "dscores = weights · (dweights - Σ weights · dweights)",
        "plain.activations.softmax",
        "dscores: Array = weights * (dweights - mean)",
    ),
    "slope": Explanation(
        "an activation bends single numbers: times its slope there",
        "dx = dy · f'(x)",
        "plain.activations.gelu",
        "return 0.5 * x * (1 + tanh), lambda dy: dy * slope",
    ),
    "times": Explanation(
        "y = a · b: each gets y's gradient times the other",
        "da = dy · b",
        "plain.activations.swiglu",
        "dup = dy * activated",
    ),
}


def terms_of(name: str, config: ModelConfig) -> tuple[Term, ...]:
    """Return what the gradient of a result is the sum of; names are those of ``plain/model.py``."""
    path = name.split(".")
    if name == "logits":
        return (Term("target"),)
    if name == "final_norm":
        return (Term("linear", "logits", weight=_head(config)),)
    if name in ("token_embedding", "position_embedding"):
        return (Term("same", "embeddings"),)
    if name == "embeddings" or len(path) == 2:
        return _of_stream(-1 if name == "embeddings" else int(path[1]), config)
    block, part = f"blocks.{path[1]}", ".".join(path[2:])
    if part.startswith("attention."):
        return _in_attention(f"{block}.attention", part.split(".")[1], config)
    if part.startswith("feed_forward."):
        return _in_feed_forward(f"{block}.feed_forward", part.split(".")[1], config)
    return _in_block(block, part, config)


def _head(config: ModelConfig) -> str:
    return "token_embedding.weight" if config.tie_embeddings else "head.weight"


def _of_stream(i: int, config: ModelConfig) -> tuple[Term, ...]:
    """Return the ways out of the residual stream behind block ``i``; -1 is the embeddings."""
    name = "embeddings" if i < 0 else f"blocks.{i}"
    if i < config.n_layers - 1:
        return _read_and_added(name, f"blocks.{i + 1}", "attention", config)
    if config.norm_position == "post":
        return (Term("linear", "logits", weight=_head(config)),)
    return (Term("norm", "final_norm", (name,), "final_norm.weight"),)


def _read_and_added(stream: str, block: str, layer: str, config: ModelConfig) -> tuple[Term, ...]:
    """Return the two ways out of a stream: what a layer read of it, and what it was added to."""
    if config.norm_position == "post":
        return (*_of_norm_after(stream, block, layer), *_into(f"{block}.{layer}", config))
    after = f"{block}.residual" if layer == "attention" else block
    norm = f"{block}.{layer}_norm"
    return (Term("same", after), Term("norm", norm, (stream,), f"{norm}.weight"))


def _of_norm_after(stream: str, block: str, layer: str) -> tuple[Term, ...]:
    norm = f"{block}.{layer}_norm"
    return (Term("norm", norm, (stream, f"{block}.{layer}"), f"{norm}.weight"),)


def _into(layer: str, config: ModelConfig) -> tuple[Term, ...]:
    """Return the ways by which what a layer reads goes into it."""
    if layer.endswith("feed_forward"):
        names = ["up_proj"] + ["gate_proj"] * (config.activation == "swiglu")
        return tuple(
            Term("linear", f"{layer}.{name}", weight=f"{layer}.{name}.weight") for name in names
        )
    n_query, n_key = config.attention_width, config.n_kv_heads * config.head_dim
    rows = {"q": 0, "k": n_query, "v": n_query + n_key}
    weight = f"{layer}.qkv_proj.weight"
    return tuple(
        Term("linear", f"{layer}.{name}", weight=weight, first_row=row)
        for name, row in rows.items()
    )


def _in_block(block: str, part: str, config: ModelConfig) -> tuple[Term, ...]:
    """Return the rule of a block's norms, layers and middle."""
    is_post = config.norm_position == "post"
    if part == "residual":
        return _read_and_added(f"{block}.residual", block, "feed_forward", config)
    layer = part.removesuffix("_norm")
    after = f"{block}.residual" if layer == "attention" else block
    if part.endswith("_norm"):
        return (Term("same", after),) if is_post else _into(f"{block}.{layer}", config)
    if not is_post:
        return (Term("same", after),)
    i = int(block.split(".")[1])
    before = f"blocks.{i - 1}" if i else "embeddings"
    return _of_norm_after(before if layer == "attention" else f"{block}.residual", block, layer)


def _in_feed_forward(layer: str, part: str, config: ModelConfig) -> tuple[Term, ...]:
    if part == "hidden":
        return (Term("linear", layer, weight=f"{layer}.down_proj.weight"),)
    if config.activation != "swiglu":
        return (Term("slope", f"{layer}.hidden", (f"{layer}.up_proj",)),)
    if part == "gate_proj":
        return (Term("slope", f"{layer}.activated", (f"{layer}.gate_proj",)),)
    other = "activated" if part == "up_proj" else "up_proj"
    return (Term("times", f"{layer}.hidden", (f"{layer}.{other}",)),)


def _in_attention(layer: str, part: str, config: ModelConfig) -> tuple[Term, ...]:
    i = int(layer.split(".")[1])
    stages = [""] + ["_norm"] * config.qk_norm + ["_rotated"] * config.rotates(i)
    query, key = (f"{layer}.{name}{stages[-1]}" for name in "qk")  # as they are compared
    scores, weights, heads = (f"{layer}.{name}" for name in ("scores", "weights", "heads"))
    if part == "heads":
        return (Term("linear", layer, weight=f"{layer}.out_proj.weight"),)
    if part == "weights":
        return (Term("weights", heads, (f"{layer}.v",)),)
    if part == "scores":
        return (Term("softmax", weights, (weights,)),)
    if part == "v":
        return (Term("values", heads, (weights,)),)
    name, stage = part[0], part[1:]
    if stage == stages[-1]:
        rule: Rule = "queries" if name == "q" else "keys"
        return (Term(rule, scores, (key if name == "q" else query,)),)
    following = stages[stages.index(stage) + 1]
    later = f"{layer}.{name}{following}"
    if following == "_rotated":
        return (Term("rotate", later),)
    return (Term("norm", later, (f"{layer}.{name}",), f"{layer}.{name}_norm.weight"),)
