"""Training: the gradient of a batch, clipped, and AdamW's step against it.

Nothing is changed in place: what goes in stays, and the new parameters come out.

Explained in ``Tutorial/08 - Training.md``.
"""

import math

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.plain.contract import Array, as_numpy
from llm_explainer.plain.loss import cross_entropy
from llm_explainer.plain.model import gpt
from llm_explainer.tree import Tree, flatten, unflatten

BETA1, BETA2 = 0.9, 0.95
"""How much of the running means of the gradient and of its square stays at each step."""

EPS = 1e-8
"""Added to the root of the mean square, against division by zero."""

WEIGHT_DECAY = 0.1
"""How fast matrices shrink, times the learning rate."""

CLIP_NORM = 1.0
"""A longer gradient is scaled down to this length."""


def start_adamw(parameters: Tree) -> Tree:
    """The state before the first step: both means are 0 (Kingma and Ba 2015, section 2).

    >>> start_adamw({"norm": {"weight": np.ones(2)}})
    {'steps': 0, 'm': {'norm.weight': array([0., 0.])}, 'v': {'norm.weight': array([0., 0.])}}
    """
    zeros = {name: np.zeros_like(array) for name, array in flatten(as_numpy(parameters)).items()}
    return {"steps": 0, "m": zeros, "v": zeros}


def adamw(parameters: Tree, gradients: Tree, state: Tree, rate: float) -> tuple[Tree, Tree]:
    """One step of AdamW (Loshchilov and Hutter 2019, algorithm 2): new parameters, new state.

    m = β1 m + (1 - β1) g;  v = β2 v + (1 - β2) g²;  p = p - lr · (m̂ / (sqrt(v̂) + ε) + decay · p)

    Means that begin at 0 are too small at first: m̂ = m / (1 - β1^t), and v̂ likewise. Only matrices
    decay (of products and of embeddings); vectors do not: biases, and the weights of norms.

    >>> p = {"matrix": np.array([[1.0]]), "vector": np.array([1.0])}
    >>> g = {"matrix": np.array([[0.5]]), "vector": np.array([-0.5])}
    >>> p, state = adamw(p, g, start_adamw(p), rate=0.1)
    >>> {name: array.round(6) for name, array in p.items()}  # at first m̂ / sqrt(v̂) is g's sign
    {'matrix': array([[0.89]]), 'vector': array([1.1])}
    """
    p, g, t = flatten(as_numpy(parameters)), flatten(gradients), state["steps"] + 1
    m = {name: BETA1 * state["m"][name] + (1 - BETA1) * g[name] for name in p}
    v = {name: BETA2 * state["v"][name] + (1 - BETA2) * g[name] ** 2 for name in p}
    for name in p:
        m_hat, v_hat = m[name] / (1 - BETA1**t), v[name] / (1 - BETA2**t)
        step = m_hat / (np.sqrt(v_hat) + EPS)
        if p[name].ndim == 2:
            step = step + WEIGHT_DECAY * p[name]
        p[name] = p[name] - rate * step
    return unflatten(p, like=parameters), {"steps": t, "m": m, "v": v}


def clip(gradients: Tree) -> Tree:
    """Scale all gradients down to a common length of 1 (Pascanu et al. 2013, section 3.2).

    >>> clip({"w": np.array([3.0]), "b": np.array([4.0])})  # 5 long
    {'w': array([0.6]), 'b': array([0.8])}
    >>> clip({"w": np.array([0.3]), "b": np.array([0.4])})  # short enough
    {'w': array([0.3]), 'b': array([0.4])}
    """
    flat = flatten(gradients)
    length = math.sqrt(sum(float((g * g).sum()) for g in flat.values()))
    scale = CLIP_NORM / max(length, CLIP_NORM)
    return unflatten({name: g * scale for name, g in flat.items()}, like=gradients)


def train_step(
    ids: Array, targets: Array, parameters: Tree, state: Tree, config: ModelConfig, rate: float
) -> tuple[float, Tree, Tree]:
    """One step on a batch (Goodfellow et al. 2016, section 8.1.3): loss, new parameters, new state.

    ids and targets, the token after each, (B, T); rate: the learning rate.

    >>> from llm_explainer import load_backend
    >>> config = ModelConfig(vocab_size=4, context_length=4, d_model=8, n_layers=1, n_heads=2)
    >>> p, text = load_backend("numpy").GPT(config).parameters(), np.array([[0, 1, 2, 3, 0]])
    >>> state, losses = start_adamw(p), []
    >>> for _ in range(20):
    ...     loss, p, state = train_step(text[:, :-1], text[:, 1:], p, state, config, 0.03)
    ...     losses.append(round(loss, 1))
    >>> losses[0], losses[-1]  # a blind guess among four is log 4
    (1.4, 0.0)
    """
    logits, backward = gpt(ids, parameters, config)  # (B, T, V)
    loss, loss_backward = cross_entropy(logits, targets)
    gradients = clip(backward(loss_backward()))
    return loss, *adamw(parameters, gradients, state, rate)
