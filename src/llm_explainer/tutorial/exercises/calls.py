"""What the exercises are tried on: small arrays, and the settings of a small model.

All sizes differ from each other where they can, so that an axis taken for another shows.
"""

# ruff: noqa: D103 - each is named after the function that it is for

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.random import Generator

from llm_explainer.config import ModelConfig
from llm_explainer.tree import Tree
from llm_explainer.tutorial.exercises.answers import Array, Call

B, T, D, F, V, H = 2, 3, 4, 5, 7, 2
EPS = 1e-5
ROOT_H = ("1/sqrt(H)", H**-0.5)
N = ("1/N, of the tokens that count", 1 / (B * T))


def _weights(rng: Generator, outputs: int, inputs: int, bias: bool = True) -> dict[str, Array]:
    p = {"weight": rng.normal(size=(outputs, inputs))}
    return {**p, "bias": rng.normal(size=outputs)} if bias else p


def _norm(rng: Generator, bias: bool = True) -> dict[str, Array]:
    p = {"weight": rng.normal(size=D)}
    return {**p, "bias": rng.normal(size=D)} if bias else p


def _config(**changes: Any) -> ModelConfig:
    sizes = {"vocab_size": V, "context_length": T, "d_model": D, "n_layers": 1, "n_heads": 2}
    return ModelConfig(**{**sizes, "d_ff": F, **changes})


def _x(rng: Generator, width: int = D) -> Array:
    return rng.normal(size=(B, T, width))


def join(rng: Generator) -> Call:
    return Call("values", ([97, 97, 97, 98, 97, 97, 97, 97], (97, 97), 256))


def train(rng: Generator) -> Call:
    return Call("values", ([b"aaabdaaabac", b"cdefcdef"], 9))


def encode(rng: Generator) -> Call:
    return Call("values", (b"aaabdaaabac", [(97, 97), (256, 97), (257, 98)]))


def linear(rng: Generator) -> Call:
    return Call(
        "layer", (_x(rng), _weights(rng, F, D)), factors=[("1/N, of all rows", 1 / (B * T))]
    )


def embedding(rng: Generator) -> Call:
    ids = np.array([[2, 5, 2], [0, 5, 2]])  # (B, T): 2 and 5 come several times
    return Call("lookup", (ids, {"weight": rng.normal(size=(V, D))}))


def sinusoids(rng: Generator) -> Call:
    return Call("values", (np.arange(5), 6))


def rotate(rng: Generator) -> Call:
    return Call("function", (rng.normal(size=(B, 2, T, 4)), np.arange(T), 100.0), ("x",))


def places(rng: Generator) -> Call:
    return Call("values", (np.array([[4, 4, 4, 9, 9], [1, 3, 3, 3, 1]]),))


def softmax(rng: Generator) -> Call:
    scores = rng.normal(size=(B, T, 5))
    return Call("function", (scores,), ("scores",))


def softmax_large(rng: Generator) -> Call:
    return Call("function", (rng.normal(size=(B, T, 5)) + 800,), ("scores",))


def attention(rng: Generator) -> Call:
    q, kv = (B, 4, T, H), (B, 2, T, H)
    arrays = rng.normal(size=q), rng.normal(size=kv), rng.normal(size=kv)
    return Call("functions", arrays, ("q", "k", "v"), [ROOT_H], records=True)


def self_attention(rng: Generator) -> Call:
    p = {"qkv_proj": _weights(rng, 3 * D, D), "out_proj": _weights(rng, D, D)}
    return Call("layer", (_x(rng), p, _config(position="rope")), factors=[ROOT_H])


def activation(rng: Generator) -> Call:
    return Call("function", (_x(rng),), ("x",))


def swiglu(rng: Generator) -> Call:
    return Call("functions", (_x(rng), _x(rng)), ("gate", "up"))


def feed_forward(rng: Generator) -> Call:
    p = {"up_proj": _weights(rng, F, D), "down_proj": _weights(rng, D, F)}
    return Call("layer", (_x(rng), p, _config(activation="gelu")))


def gated(rng: Generator) -> Call:
    names = {"gate_proj": (F, D), "up_proj": (F, D), "down_proj": (D, F)}
    p = {name: _weights(rng, *sizes, bias=False) for name, sizes in names.items()}
    return Call("layer", (_x(rng), p))


def layer_norm(rng: Generator) -> Call:
    return Call("layer", (_x(rng), _norm(rng), EPS))


def layer_norm_without_bias(rng: Generator) -> Call:
    return Call("layer", (_x(rng), _norm(rng, bias=False), EPS))


def rms_norm(rng: Generator) -> Call:
    return Call("layer", (_x(rng), _norm(rng, bias=False), EPS))


def block(rng: Generator) -> Call:
    p = {
        "attention_norm": _norm(rng),
        "attention": {"qkv_proj": _weights(rng, 3 * D, D), "out_proj": _weights(rng, D, D)},
        "feed_forward_norm": _norm(rng),
        "feed_forward": {"up_proj": _weights(rng, F, D), "down_proj": _weights(rng, D, F)},
    }
    return Call("layer", (_x(rng), p, _config()))


def embed(rng: Generator) -> Call:
    ids = np.array([[2, 5, 2], [0, 5, 2]])  # (B, T)
    p = {
        "token_embedding": {"weight": rng.normal(size=(V, D))},
        "position_embedding": {"weight": rng.normal(size=(T, D))},
    }
    return Call("lookup", (ids, p, _config()))


def unembed(rng: Generator) -> Call:
    p = {"token_embedding": {"weight": rng.normal(size=(V, D))}, "final_norm": _norm(rng)}
    return Call("layer", (_x(rng), p, _config()))


def cross_entropy(rng: Generator) -> Call:
    targets = rng.integers(0, V, size=(B, T))
    return Call("loss", (_x(rng, V), targets), ("logits",), [N])


def cross_entropy_masked(rng: Generator) -> Call:
    mask = np.array([[1, 1, 0], [0, 1, 0]])
    arguments = (_x(rng, V), rng.integers(0, V, size=(B, T)), mask)
    return Call("loss", arguments, ("logits",), [("1/N, of the tokens that count", 1 / 3)])


def clip(rng: Generator) -> Call:
    gradients = {"matrix": rng.normal(size=(3, 4)), "vector": rng.normal(size=4)}
    return Call("values", (gradients,))


def clip_short(rng: Generator) -> Call:
    return Call("values", ({"matrix": rng.normal(size=(3, 4)) / 9, "vector": np.zeros(4)},))


def adamw(rng: Generator) -> Call:
    shapes = {"matrix": (3, 4), "vector": (4,)}
    p, g, m, v = ({n: rng.normal(size=s) for n, s in shapes.items()} for _ in range(4))
    state = {"steps": 2, "m": m, "v": {name: array**2 for name, array in v.items()}}
    base = {f'result[0]["{name}"]': array for name, array in p.items()}
    return Call("values", (p, g, state, 0.1), factors=[("rate", 0.1)], base=base)


def probabilities(share: float) -> Callable[[Generator], Call]:
    return lambda rng: Call("values", (np.array([0.05, 0.3, 0.1, 0.4, 0.15]), share))


def top_k(rng: Generator) -> Call:
    return Call("values", (np.array([0.5, 2.0, -1.0, 1.5, 0.7]), 3))


def repetition(rng: Generator) -> Call:
    return Call("values", (np.array([2.0, -2.0, 0.5, -0.3, 1.0]), [0, 1, 3], 1.5))


def lora(rng: Generator) -> Call:
    p = {
        "base": _weights(rng, F, D),
        "lora_a": rng.normal(size=(2, D)),
        "lora_b": rng.normal(size=(F, 2)),
    }
    return Call("layer", (_x(rng), p, 1.5), factors=[("s", 1.5)])


def dora(rng: Generator) -> Call:
    base = _weights(rng, F, D)
    a, b = rng.normal(size=(2, D)), rng.normal(size=(F, 2))
    p = {"base": base, "lora_a": a, "lora_b": b, "magnitude": rng.normal(size=F) + 4}

    def lengths(p: Tree) -> Array:
        v: Array = p["base"]["weight"] + 1.5 * p["lora_b"] @ p["lora_a"]
        rows: Array = np.sqrt((v * v).sum(-1))  # (F,)
        return rows

    now = lengths(p)

    def held(x: Array, p: Tree, scale: float) -> tuple[Any, ...]:
        # m / now · V x is what dora makes of a magnitude m · |V| / now: |V| cancels out.
        return x, {**p, "magnitude": p["magnitude"] * lengths(p) / now}, scale

    return Call("layer", (_x(rng), p, 1.5), factors=[("s", 1.5)], held=held)


def scores(rng: Generator) -> Call:
    return Call("values", (rng.normal(size=V) + 800,))
