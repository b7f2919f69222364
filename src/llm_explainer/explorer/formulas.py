"""How each result of the forward pass is made: the rule, what goes in, and the line of ``plain/``.

The page puts numbers into the rule. The line is read from the source as it is now.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from functools import cache
from typing import Any

from llm_explainer.config import ModelConfig
from llm_explainer.rope_frequencies import rope_frequencies


@dataclass(frozen=True)
class Making:
    """How a result is made; names are those of ``plain/model.py`` and of parameters."""

    rule: str
    inputs: tuple[str, ...] = ()
    weight: str = ""
    bias: str = ""
    first_row: int = 0  # of weight and bias: q, k and v share one


RULES: dict[str, tuple[str, str, str]] = {
    "embedding": ("row id of the table", "layers.embedding", 'x = p["weight"][ids]'),
    "place": (
        "row t of the table, for the token at place t",
        "model.embed",
        'positions, position_backward = embedding(here, p["position_embedding"])',
    ),
    "sinusoid": (
        "sin(t / 10000^(2i/D)) in channel 2i, cos in 2i + 1",
        "positions.sinusoids",
        "pairs = np.stack([np.sin(angles), np.cos(angles)], axis=-1)",
    ),
    "same": ("nothing is added here", "model.gpt", 'record("embeddings", x)'),
    "placed": ("token + position", "model.embed", "x = x + positions"),
    "added": ("x + what the layer made", "block.residual", "y = x + made"),
    "normed": ("the normed sum, as it is", "block.residual", "y, norm_backward = norm(y,"),
    "rmsnorm": ("x / sqrt(mean(x²) + eps) · w", "layers.rms_norm", "x_hat = x / rms"),
    "layernorm": (
        "(x - mean) / sqrt(variance + eps) · w + b",
        "layers.layer_norm",
        "x_hat = (x - x.mean(-1, keepdims=True)) / std",
    ),
    "linear": ("Σ x · w, over the inputs", "layers.linear", 'y = x @ p["weight"].T'),
    "rotate": (
        "first · cos(t θ) - second · sin(t θ), or second · cos + first · sin",
        "positions.rotate",
        "y = np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)",
    ),
    "scores": (
        "Σ q · k / sqrt(H), over the channels of a head",
        "attention.causal_attention",
        "scores = q @ keys.swapaxes(-1, -2) * scale",
    ),
    "weights": (
        "exp(score) / Σ exp(score), over the keys that are seen",
        "activations.softmax",
        "weights = exps / exps.sum(-1, keepdims=True)",
    ),
    "heads": (
        "Σ weight · v, over the tokens that are seen",
        "attention.causal_attention",
        "heads = weights @ values",
    ),
    "relu": ("max(x, 0)", "activations.relu", "return np.maximum(x, 0)"),
    "gelu": (
        "0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))",
        "activations.gelu",
        "return 0.5 * x * (1 + tanh)",
    ),
    "silu": ("x · sigmoid(x)", "activations.silu", "return x * sigmoid"),
    "times": ("activated · up", "activations.swiglu", "y = activated * up"),
}
"""By rule: the formula, the function of ``plain/`` and the line in it."""


def makings(config: ModelConfig) -> dict[str, Making]:
    """Return how each result is made, in the order of the forward pass."""
    found = _embedded(config)
    stream = "embeddings"
    for i in range(config.n_layers):
        found |= _block(f"blocks.{i}", stream, i, config)
        stream = f"blocks.{i}"
    if config.norm_position == "pre":
        found["final_norm"] = _norm("final_norm", stream, config)
        stream = "final_norm"
    head = "token_embedding.weight" if config.tie_embeddings else "head.weight"
    found["logits"] = Making("linear", (stream,), head)
    return found


def _embedded(config: ModelConfig) -> dict[str, Making]:
    found = {"token_embedding": Making("embedding", weight="token_embedding.weight")}
    if config.position == "rope":
        return found | {"embeddings": Making("same", ("token_embedding",))}
    table = "position_embedding.weight"
    learned = config.position == "learned"
    found["position_embedding"] = Making("place", weight=table) if learned else Making("sinusoid")
    found["embeddings"] = Making("placed", ("token_embedding", "position_embedding"))
    return found


def _norm(name: str, x: str, config: ModelConfig, *more: str) -> Making:
    has_bias = config.bias and config.norm == "layernorm"
    bias = f"{name}.bias" if has_bias else ""
    return Making(config.norm, (x, *more), f"{name}.weight", bias)


def _block(block: str, stream: str, i: int, config: ModelConfig) -> dict[str, Making]:
    found: dict[str, Making] = {}
    for layer, after in (("attention", f"{block}.residual"), ("feed_forward", block)):
        name, norm = f"{block}.{layer}", f"{block}.{layer}_norm"
        read = norm if config.norm_position == "pre" else stream
        if config.norm_position == "pre":
            found[norm] = _norm(norm, stream, config)
        if layer == "attention":
            found |= _attention(name, read, i, config)
        else:
            found |= _feed_forward(name, read, config)
        if config.norm_position == "post":
            found[norm] = _norm(norm, stream, config, name)
            found[after] = Making("normed", (norm,))
        else:
            found[after] = Making("added", (stream, name))
        stream = after
    return found


def _linear(name: str, x: str, biased: bool, layer: str = "", row: int = 0) -> Making:
    layer = layer or name
    return Making("linear", (x,), f"{layer}.weight", f"{layer}.bias" if biased else "", row)


def _attention(name: str, read: str, i: int, config: ModelConfig) -> dict[str, Making]:
    n_query, n_key = config.attention_width, config.n_kv_heads * config.head_dim
    rows = {"q": 0, "k": n_query, "v": n_query + n_key}
    found = {
        f"{name}.{part}": _linear("", read, config.has_qkv_bias, f"{name}.qkv_proj", row)
        for part, row in rows.items()
    }
    compared = {}
    for part in "qk":
        last = f"{name}.{part}"
        if config.qk_norm:
            norm = f"{name}.{part}_norm"
            found[norm] = Making("rmsnorm", (last,), f"{norm}.weight")
            last = norm
        if config.rotates(i):
            found[f"{name}.{part}_rotated"] = Making("rotate", (last,))
            last = f"{name}.{part}_rotated"
        compared[part] = last
    found[f"{name}.scores"] = Making("scores", (compared["q"], compared["k"]))
    found[f"{name}.weights"] = Making("weights", (f"{name}.scores",))
    found[f"{name}.heads"] = Making("heads", (f"{name}.weights", f"{name}.v"))
    found[name] = _linear(name, f"{name}.heads", config.bias, f"{name}.out_proj")
    return found


def _feed_forward(name: str, read: str, config: ModelConfig) -> dict[str, Making]:
    up, hidden = f"{name}.up_proj", f"{name}.hidden"
    found = {up: _linear(up, read, config.bias)}
    if config.activation == "swiglu":
        gate, activated = f"{name}.gate_proj", f"{name}.activated"
        found = {gate: _linear(gate, read, config.bias)} | found
        found[activated] = Making("silu", (gate,))
        found[hidden] = Making("times", (activated, up))
    else:
        found[hidden] = Making(config.activation, (up,))
    found[name] = _linear(name, hidden, config.bias, f"{name}.down_proj")
    return found


@cache
def source_line(function: str, code: str) -> dict[str, Any]:
    """Return where a line of ``plain/`` stands, and how it reads there.

    Args:
        function: as in ``layers.linear``.
        code: the line's beginning.

    Raises:
        LookupError: the function has no such line.
    """
    module_name, name = function.rsplit(".", 1)
    module = importlib.import_module(f"llm_explainer.plain.{module_name}")
    lines, first = inspect.getsourcelines(getattr(module, name))
    for number, line in enumerate(lines, first):
        if line.strip().startswith(code):
            return {"file": f"plain/{module_name}.py", "line": number, "code": line.strip()}
    raise LookupError(f"plain.{function} has no line {code!r}")


def rules() -> dict[str, dict[str, Any]]:
    """Return every rule with its formula and its line, for the page."""
    return {
        rule: {"formula": formula, **source_line(function, code)}
        for rule, (formula, function, code) in RULES.items()
    }


def rotation(config: ModelConfig) -> dict[str, Any]:
    """Return the angles by which a place rotates the pairs of a head, and their strength."""
    if config.position != "rope":
        return {}
    frequencies, strength = rope_frequencies(
        config.head_dim, config.rope_theta, config.rope_scaling
    )
    return {"frequencies": [float(f) for f in frequencies], "strength": float(strength)}
