"""Causal self-attention with grouped-query heads: queries look up values by their keys.

Letters: B batch, T tokens, D = d_model, H width of a head, K key-value heads, G query heads for
each of them (K · G = n_heads; G = 1 is plain multi-head attention). Vaswani et al. 2017, section
3.2; Ainslie et al. 2023 for groups.

Explained in ``Tutorial/04 - Attention.md``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.numpy_backend.cache import LayerCache, LayerRows
from llm_explainer.numpy_backend.causal import causal_attention
from llm_explainer.numpy_backend.layers import Dropout, Linear
from llm_explainer.numpy_backend.module import (
    Array,
    Backward,
    Module,
    gradients_like,
    place_for,
)
from llm_explainer.numpy_backend.norms import RMSNorm, make_head_norm
from llm_explainer.numpy_backend.packing import Packing
from llm_explainer.numpy_backend.positions import make_rotary_embedding
from llm_explainer.tree import Tree


class CausalSelfAttention(Module):
    """y = softmax(mask(Q Kᵀ / sqrt(H))) V, for every head, between two linear layers.

    Queries, keys and values come from one product with ``qkv_proj``, whose rows are all query
    heads, then all key heads, then all value heads. ``layer`` is the block's number: a config may
    have some layers rotate nothing, or see a window only.
    """

    def __init__(self, config: ModelConfig, *, init: Init, layer: int = 0) -> None:
        self._n_heads, self._n_kv_heads = config.n_heads, config.n_kv_heads
        self._head_dim = config.head_dim
        n_qkv = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
        residual_scale = 1 / math.sqrt(2 * config.n_layers)
        self.qkv_proj = Linear(config.d_model, n_qkv, config.has_qkv_bias, init=init)
        self.q_norm, self.k_norm = make_head_norm(config), make_head_norm(config)
        self.out_proj = Linear(
            config.attention_width, config.d_model, config.bias, init=init, scale=residual_scale
        )
        self._rotary = make_rotary_embedding(config) if config.rotates(layer) else None
        self._window = config.window_of(layer)
        self._dropout = Dropout(config.dropout)

    def __call__(
        self,
        x: Array,
        cache: LayerCache | LayerRows | None = None,
        packing: Packing | None = None,
    ) -> Array:
        """Map (B, T, D) to (B, T, D), after the tokens that ``cache`` holds; adds these to it."""
        n_tokens = x.shape[1]
        if cache is not None:
            positions = cache.texts.positions(n_tokens)
        else:
            positions = packing.positions if packing else np.arange(n_tokens)
        qkv = self.qkv_proj(x)  # (B, T, (K·G + 2K)·H)
        if self.q_norm is not None:
            for _, norm, heads in self._normed(qkv):
                heads[...] = norm(heads)
        q, k, v = self._split(self._rotate(qkv, positions))
        if isinstance(cache, LayerRows):
            return self.out_proj(attend_apart(q, k, v, cache, self._window))
        if cache is not None:
            keys, values = cache.append(k[:, :, 0], v[:, :, 0])  # (B, K, S, H)
        if cache is None or cache.texts.longest == 0:  # nothing before: a cache changes nothing
            unseen = packing and packing.unseen
            attended, _ = causal_attention(q, k, v, unseen=unseen, window=self._window)  # (B, T, D)
        else:
            attended = attend(q, keys, values, cache.texts.unseen(n_tokens, self._window))
        return self.out_proj(attended)

    def forward(
        self, x: Array, rng: np.random.Generator | None = None, packing: Packing | None = None
    ) -> tuple[Array, Backward]:
        """Map (B, T, D) to (B, T, D); ``rng`` draws the dropout of the attention weights."""
        positions = packing.positions if packing else np.arange(x.shape[1])
        qkv, qkv_backward = self.qkv_proj.forward(x, rng)
        qkv_shape = qkv.shape  # the closure keeps this alone, not the array
        norm_backwards = []
        for _, norm, heads in self._normed(qkv):
            heads[...], norm_backward = norm.forward(heads)
            norm_backwards.append(norm_backward)
        q, k, v = self._split(self._rotate(qkv, positions))
        mask_shape = (*q.shape[:4], x.shape[1])  # (B, K, G, T, T)
        dropout_mask = self._dropout.mask(mask_shape, x.dtype, rng)
        attended, attention_backward = causal_attention(
            q, k, v, dropout_mask, packing and packing.unseen, self._window
        )
        y, out_backward = self.out_proj.forward(attended, rng)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dattended, _ = out_backward(dy, place_for("out_proj", grads))  # (B, T, D)
            # The three gradients are written side by side, as qkv_proj made q, k and v.
            dqkv = np.empty(qkv_shape, x.dtype)
            attention_backward(dattended, *self._split(dqkv))
            self._rotate(dqkv, positions, inverse=True)
            for (name, _, dheads), norm_backward in zip(
                self._normed(dqkv), norm_backwards, strict=True
            ):
                dheads[...], _ = norm_backward(dheads, place_for(name, grads))
            dx, _ = qkv_backward(dqkv, place_for("qkv_proj", grads))
            return dx, grads

        return y, backward

    def _rotate(self, qkv: Array, positions: Array, inverse: bool = False) -> Array:
        """Rotate the queries and keys of (B, T, (K·G + 2K)·H) to their positions, in place."""
        if self._rotary is not None:
            n_rotated = self._n_heads + self._n_kv_heads
            heads = qkv.reshape(*qkv.shape[:2], -1, self._head_dim)  # (B, T, K·G + 2K, H), a view
            self._rotary.rotate(heads[:, :, :n_rotated], positions, inverse)
        return qkv

    def _normed(self, qkv: Array) -> Iterator[tuple[str, RMSNorm, Array]]:
        """Yield the name of what norms queries, it, and their view (B, T, K·G, H); then of keys."""
        if self.q_norm is not None and self.k_norm is not None:
            n_heads, n_kv = self._n_heads, self._n_kv_heads
            heads = qkv.reshape(*qkv.shape[:2], -1, self._head_dim)  # (B, T, K·G + 2K, H), a view
            yield "q_norm", self.q_norm, heads[:, :, :n_heads]
            yield "k_norm", self.k_norm, heads[:, :, n_heads : n_heads + n_kv]

    def _split(self, qkv: Array) -> tuple[Array, Array, Array]:
        """View (B, T, (K·G + 2K)·H) as q (B, K, G, T, H), k and v (B, K, 1, T, H); no copies.

        The axis of length 1 lets ``matmul`` serve one key-value head to a whole group.
        """
        b, t, _ = qkv.shape
        n_heads, n_kv, width = self._n_heads, self._n_kv_heads, self._head_dim
        heads = qkv.reshape(b, t, n_heads + 2 * n_kv, width).swapaxes(1, 2)  # (B, heads, T, H)
        return (
            heads[:, :n_heads].reshape(b, n_kv, -1, t, width),
            heads[:, n_heads:-n_kv, None],
            heads[:, -n_kv:, None],
        )


def attend(q: Array, k: Array, v: Array, unseen: Array | None) -> Array:
    """Attend from q (B, K, G, T, H) to the S cached keys and values (B, K, S, H).

    ``unseen`` (T, S) or (B, T, S) hides keys, None hides none. Returns (B, T, K·G·H).
    """
    b, n_kv, group, t, width = q.shape
    # The queries of a group are rows of one product with their shared keys.
    rows = (q * (1 / math.sqrt(width))).reshape(b, n_kv, group * t, width)
    weights = rows @ k.swapaxes(-1, -2)  # (B, K, G·T, S)
    if unseen is not None:
        scores = weights.reshape(b, n_kv, group, t, -1)  # a view
        unseen = unseen.reshape(-1, 1, 1, t, k.shape[2])  # (B or 1, 1, 1, T, S)
        np.copyto(scores, -np.inf, where=unseen)
    # So that exp cannot overflow; the softmax is the same. (``weights.max`` would call this ufunc
    # through Python code, which takes as long as the maximum of a single row.)
    weights -= np.maximum.reduce(weights, axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    attended = weights @ v  # (B, K, G·T, H)
    # Divided after the product, where rows are H wide, not S.
    attended /= np.add.reduce(weights, axis=-1, keepdims=True)
    attended = attended.reshape(b, n_kv, group, t, width).transpose(0, 3, 1, 2, 4)
    return attended.reshape(b, t, -1)


SUMMED_AT_ONCE = 64
"""Weights of a row are added up in blocks of so many: behind its end there are zeros."""


def attend_apart(q: Array, k: Array, v: Array, cache: LayerRows, window: int) -> Array:
    """Attend from q (B, K, G, 1, H) to the cached keys, after adding k and v (B, K, 1, 1, H).

    Each text in products of its own, over its own length, so that not a bit of it depends on who
    else is there; only what is done number by number is done for all. Returns (B, 1, K·G·H).
    """
    b, n_kv, group, _, width = q.shape
    rows = q[..., 0, :] * (1 / math.sqrt(width))  # (B, K, G, H)
    texts = cache.append(k[:, :, 0, 0], v[:, :, 0, 0], window)
    longest = max(keys.shape[1] for keys, _ in texts)
    n_blocks = -(-longest // SUMMED_AT_ONCE)
    blocks = np.full((b, n_kv, group, n_blocks, SUMMED_AT_ONCE), -np.inf, q.dtype)
    weights = blocks.reshape(b, n_kv, group, -1)  # (B, K, G, S), a view
    for row, (keys, _) in enumerate(texts):
        scores = weights[row, :, :, : keys.shape[1]]
        np.matmul(rows[row], keys.swapaxes(-1, -2), out=scores)
    weights -= np.maximum.reduce(weights, axis=-1, keepdims=True)
    np.exp(weights, out=weights)
    attended = np.empty_like(rows)
    for row, (_, values) in enumerate(texts):
        np.matmul(weights[row, :, :, : values.shape[1]], values, out=attended[row])
    attended /= np.add.reduce(np.add.reduce(blocks, axis=-2), axis=-1, keepdims=True)
    return attended.reshape(b, 1, -1)
