"""Causal self-attention with grouped-query heads: queries look up values by their keys.

Letters: B batch, T tokens, S keys seen, D = d_model, H width of a head, N query heads, K key-value
heads, G = N / K query heads for each of them. Vaswani et al. 2017, section 3.2; Ainslie et al. 2023
for groups.

Explained in ``Tutorial/04 - Attention.md``.
"""

from __future__ import annotations

import math

import mlx.core as mx

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.mlx_backend.cache import LayerCache, LayerRows
from llm_explainer.mlx_backend.layers import Dropout, Linear
from llm_explainer.mlx_backend.module import Array, Backward, Key, Module, split_key, with_backward
from llm_explainer.mlx_backend.norms import make_head_norm
from llm_explainer.mlx_backend.packing import Packing
from llm_explainer.mlx_backend.positions import make_rotary_embedding


class CausalSelfAttention(Module):
    """y = softmax(mask(Q Kᵀ / sqrt(H))) V, for every head, between two linear layers.

    Queries, keys and values come from one product with ``qkv_proj``, whose rows are all query
    heads, then all key heads, then all value heads. ``layer`` is the block's number: a config may
    have some layers rotate nothing, or see a window only.
    """

    def __init__(self, config: ModelConfig, *, init: Init, layer: int = 0) -> None:
        super().__init__()
        self._n_heads, self._n_kv_heads = config.n_heads, config.n_kv_heads
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
        return self.run(x, cache, packing=packing)

    def forward(
        self, x: Array, rng: Key | None = None, packing: Packing | None = None
    ) -> tuple[Array, Backward]:
        """Map (B, T, D) to (B, T, D); ``rng`` draws the dropout of the attention weights."""
        return with_backward(self, lambda x: self.run(x, rng=rng, packing=packing), x)

    def run(
        self,
        x: Array,
        cache: LayerCache | LayerRows | None = None,
        rng: Key | None = None,
        packing: Packing | None = None,
    ) -> Array:
        """Map (B, T, D) to (B, T, D), for inference and training."""
        b, t, _ = x.shape
        n_heads, n_kv_heads = self._n_heads, self._n_kv_heads
        keys = split_key(rng, 2)  # for adapters; the attention weights have ``rng`` itself
        heads = self.qkv_proj.run(x, keys[0]).reshape(b, t, n_heads + 2 * n_kv_heads, -1)
        q, k, v = mx.split(heads.transpose(0, 2, 1, 3), [n_heads, n_heads + n_kv_heads], axis=1)
        if self.q_norm is not None and self.k_norm is not None:
            q, k = self.q_norm(q), self.k_norm(k)
        if self._rotary is not None and packing:
            q = self._rotary.rotate_each(q, packing.positions)
            k = self._rotary.rotate_each(k, packing.positions)
        elif self._rotary is not None:
            start = 0 if cache is None else cache.start()
            q, k = self._rotary.rotate(q, start), self._rotary.rotate(k, start)
        if isinstance(cache, LayerRows):
            attended = attend_apart(q, k, v, cache, self._window)
            return self.out_proj.run(attended.reshape(b, t, -1), keys[1])
        mask: Array | str | None = seen_by(t, self._window, packing)
        if cache is not None:
            mask = cache.mask(t, self._window)
            k, v = cache.append(k, v)  # (B, K, S, H)
        if rng is None or not self._dropout.drops(rng):
            attended = mx.fast.scaled_dot_product_attention(
                q, k, v, scale=1 / math.sqrt(q.shape[-1]), mask=mask
            )  # (B, N, T, H)
        else:
            attended = self._attend_with_dropout(q, k, v, rng, packing)
        return self.out_proj.run(attended.transpose(0, 2, 1, 3).reshape(b, t, -1), keys[1])

    def _attend_with_dropout(
        self, q: Array, k: Array, v: Array, rng: Key, packing: Packing | None
    ) -> Array:
        """Attend from q (B, N, T, H) to k and v (B, K, T, H), spelled out: MLX's drops nothing."""
        b, n_heads, t, width = q.shape
        q = q.reshape(b, k.shape[1], -1, t, width) * (1 / math.sqrt(width))  # (B, K, G, T, H)
        scores = q @ k[:, :, None].swapaxes(-1, -2)  # (B, K, G, T, T)
        seen = seen_by(t, self._window, packing)  # (T, T) or (B, 1, T, T)
        if isinstance(seen, str):
            seen = mx.tril(mx.ones((t, t), mx.bool_))
        elif packing:
            seen = seen[:, None]  # (B, 1, 1, T, T)
        weights = mx.softmax(mx.where(seen, scores, -mx.inf), axis=-1, precise=True)
        attended = self._dropout.drop(weights, rng) @ v[:, :, None]  # (B, K, G, T, H)
        return attended.reshape(b, n_heads, t, width)


def seen_by(n_tokens: int, window: int, packing: Packing | None) -> Array | str:
    """Return which keys each query sees, (T, T) or (B, 1, T, T), or "causal", as MLX calls it."""
    if not window:
        return packing.seen if packing else "causal"
    places = mx.arange(n_tokens)
    behind = places[:, None] - places  # (T, T): how many tokens the query stands behind the key
    near = behind < window
    return packing.seen & near if packing else (behind >= 0) & near


def attend_apart(q: Array, k: Array, v: Array, cache: LayerRows, window: int) -> Array:
    """Attend from q (B, N, 1, H) to the cached keys, after adding k and v (B, K, 1, H).

    Each text over its own length and in products of its own, so that not a bit of it depends on
    who else is there. Rows without a text are 0. Returns (B, N, 1, H).
    """
    attended = [mx.zeros((1, *q.shape[1:]))] * len(q)
    for row, keys, values in cache.append(k, v):
        seen = slice(-window if window else None, None)
        attended[row] = mx.fast.scaled_dot_product_attention(
            q[row : row + 1],
            keys[:, :, seen],
            values[:, :, seen],
            scale=1 / math.sqrt(q.shape[-1]),
        )  # (1, N, 1, H)
    return mx.concatenate(attended)
