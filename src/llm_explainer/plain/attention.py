"""Causal self-attention: every token gathers values from itself and from those before it.

Explained in ``Tutorial/04 - Attention.md``.
"""

import math

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.plain.activations import softmax
from llm_explainer.plain.contract import Array, Functions, Layer, Record, ignore
from llm_explainer.plain.layers import linear, rms_norm
from llm_explainer.plain.positions import places, rotate
from llm_explainer.tree import Tree


def causal_attention(
    q: Array,
    k: Array,
    v: Array,
    segments: Array | None = None,
    record: Record = ignore,
    window: int = 0,
) -> Functions:
    """softmax(mask(Q Kᵀ / sqrt(H))) V (Vaswani et al. 2017, sections 3.2.1 and 3.2.3).

    q (B, n_heads, T, H), k and v (B, n_kv_heads, T, H): where these are fewer, each serves as many
    query heads, side by side (Ainslie et al. 2023, section 2.2). With segments (B, T), a token sees
    those of its own segment only; with a window, the last so many, itself included (Jiang et al.
    2023, section 2).

    >>> q, k, v = np.zeros((2, 1)), np.array([[1.0], [3.0]]), np.array([[2.0], [4.0]])  # (T, H)
    >>> heads, backward = causal_attention(q[None, None], k[None, None], v[None, None])
    >>> heads[0, 0]  # equal scores: token 0 sees 2, token 1 the mean of 2 and 4
    array([[2.],
           [3.]])
    >>> dq, dk, dv = backward(np.array([[[[0.0], [1.0]]]]))
    >>> dq[0, 0], dv[0, 0]  # a query towards the key 3 would see more of the 4
    (array([[0.],
           [1.]]), array([[0.5],
           [0.5]]))
    """
    b, n_heads, n_tokens, width = q.shape
    group = n_heads // k.shape[1]
    keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)  # (B, n_heads, T, H)
    scale = 1 / math.sqrt(width)
    scores = q @ keys.swapaxes(-1, -2) * scale  # (B, n_heads, T, T)
    record("scores", scores)
    seen = np.tri(n_tokens, dtype=bool)  # (T, T): row i sees the keys 0 to i
    if window:
        seen = seen & ~np.tri(n_tokens, k=-window, dtype=bool)  # but not 0 to i - window
    if segments is not None:
        seen = seen & (segments[:, None, :, None] == segments[:, None, None, :])  # (B, 1, T, T)
    weights, softmax_backward = softmax(np.where(seen, scores, -np.inf))  # (B, n_heads, T, T)
    record("weights", weights)
    heads = weights @ values  # (B, n_heads, T, H)

    def backward(dheads: Array, record: Record = ignore) -> tuple[Array, Array, Array]:
        dweights = dheads @ values.swapaxes(-1, -2)  # (B, n_heads, T, T)
        record("weights", dweights)
        dscores = softmax_backward(dweights)  # 0 where the weight is: for keys that are not seen
        record("scores", dscores)
        dq = dscores @ keys * scale  # (B, n_heads, T, H)
        dkeys = dscores.swapaxes(-1, -2) @ q * scale  # (B, n_heads, T, H)
        dvalues = weights.swapaxes(-1, -2) @ dheads  # (B, n_heads, T, H)
        groups = (b, -1, group, n_tokens, width)  # a key that served a group gets all its gradients
        return dq, dkeys.reshape(groups).sum(2), dvalues.reshape(groups).sum(2)

    return heads, backward


def query_or_key(
    x: Array, name: str, p: Tree, config: ModelConfig, positions: Array, layer: int, record: Record
) -> Layer:
    """A query or a key as it is compared: with ``qk_norm`` normed first, and with RoPE rotated.

    Norms bound the scores (Dehghani et al. 2023, section 3.1; Qwen3 has RMS norms). x (B, n_heads,
    T, H) has the name "q" or "k"; ``rope_layers`` may leave a layer out (Yang et al. 2025, section
    3).

    >>> sizes = {"vocab_size": 9, "context_length": 9, "d_model": 2, "n_layers": 1, "n_heads": 1}
    >>> x, p = np.array([[[[1.0, 7.0]]]]), {"q_norm": {"weight": np.ones(2)}}
    >>> config = ModelConfig(**sizes, qk_norm=True, position="rope")
    >>> query_or_key(x, "q", p, config, np.arange(1), 0, ignore)[0].round(3)
    array([[[[0.2, 1.4]]]])
    """
    is_rotated = config.rotates(layer)
    if config.qk_norm:
        x, norm_backward = rms_norm(x, p[f"{name}_norm"], config.norm_eps)
        record(f"{name}_norm", x)
    if is_rotated:
        x, rotate_backward = rotate(x, positions, config.rope_theta, config.rope_scaling)
        record(f"{name}_rotated", x)

    def backward(dx: Array, record: Record = ignore) -> tuple[Array, Tree]:
        grads: Tree = {}
        if is_rotated:
            record(f"{name}_rotated", dx)
            dx = rotate_backward(dx)
        if config.qk_norm:
            record(f"{name}_norm", dx)
            dx, grads[f"{name}_norm"] = norm_backward(dx)
        return dx, grads

    return x, backward


def self_attention(
    x: Array,
    p: Tree,
    config: ModelConfig,
    segments: Array | None = None,
    record: Record = ignore,
    layer: int = 0,
) -> Layer:
    """out(attention of every head), of q, k, v from x (Vaswani et al. 2017, section 3.2.2).

    The rows of ``qkv_proj`` are all query heads, then all key heads, then all value heads.
    x (B, T, D). ``layer`` is the block's number, where not all attend alike.

    >>> config = ModelConfig(vocab_size=9, context_length=9, d_model=2, n_layers=1, n_heads=1)
    >>> no_scores, itself = np.zeros((4, 2)), np.eye(2)
    >>> p = {"qkv_proj": {"weight": np.vstack([no_scores, itself])}, "out_proj": {"weight": itself}}
    >>> y, backward = self_attention(np.array([[[2.0, 0.0], [4.0, 8.0]]]), p, config)
    >>> y  # with equal scores, each token is the mean of those up to it
    array([[[2., 0.],
            [3., 4.]]])
    >>> dx, grads = backward(np.array([[[0.0, 0.0], [1.0, 0.0]]]))
    >>> dx
    array([[[0.5, 0. ],
            [0.5, 0. ]]])
    """
    b, n_tokens, _ = x.shape
    n_heads, n_kv_heads = config.n_heads, config.n_kv_heads
    qkv, qkv_backward = linear(x, p["qkv_proj"])  # (B, T, (n_heads + 2 n_kv_heads) · H)
    every_head = qkv.reshape(b, n_tokens, -1, config.head_dim).swapaxes(1, 2)  # (B, heads, T, H)
    q, k, v = np.split(every_head, [n_heads, n_heads + n_kv_heads], axis=1)
    for name, array in zip("qkv", (q, k, v), strict=True):
        record(name, array)  # (B, n_heads, T, H), then (B, n_kv_heads, T, H) twice
    positions = np.arange(n_tokens) if segments is None else places(segments)[:, None]
    q, q_backward = query_or_key(q, "q", p, config, positions, layer, record)
    k, k_backward = query_or_key(k, "k", p, config, positions, layer, record)
    window = config.window_of(layer)
    heads, attention_backward = causal_attention(q, k, v, segments, record, window)
    record("heads", heads)  # (B, n_heads, T, H)
    side_by_side = heads.swapaxes(1, 2).reshape(b, n_tokens, -1)  # (B, T, n_heads · H)
    y, out_backward = linear(side_by_side, p["out_proj"])  # (B, T, D)

    def backward(dy: Array, record: Record = ignore) -> tuple[Array, Tree]:
        dside_by_side, out_grads = out_backward(dy)  # (B, T, n_heads · H)
        dheads = dside_by_side.reshape(b, n_tokens, n_heads, -1).swapaxes(1, 2)
        record("heads", dheads)  # (B, n_heads, T, H)
        dq, dk, dv = attention_backward(dheads, record)
        dk, k_grads = k_backward(dk, record)
        dq, q_grads = q_backward(dq, record)
        for name, gradient in zip("vkq", (dv, dk, dq), strict=True):
            record(name, gradient)
        devery_head = np.concatenate([dq, dk, dv], axis=1)  # (B, heads, T, H)
        dqkv = devery_head.swapaxes(1, 2).reshape(b, n_tokens, -1)  # as qkv
        dx, qkv_grads = qkv_backward(dqkv)
        return dx, {"qkv_proj": qkv_grads, **q_grads, **k_grads, "out_proj": out_grads}

    return y, backward
