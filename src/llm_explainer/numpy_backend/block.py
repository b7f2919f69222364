"""A transformer block: attention, then the feed-forward network, each read and added back.

Explained in ``Tutorial/06 - TransformerBlock.md``.
"""

from __future__ import annotations

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.numpy_backend.attention import CausalSelfAttention
from llm_explainer.numpy_backend.cache import LayerCache, LayerRows
from llm_explainer.numpy_backend.feed_forward import FeedForward
from llm_explainer.numpy_backend.layers import Dropout
from llm_explainer.numpy_backend.module import (
    Array,
    Backward,
    Module,
    gradients_like,
    place_for,
)
from llm_explainer.numpy_backend.norms import make_norm
from llm_explainer.numpy_backend.packing import Packing
from llm_explainer.tree import Tree


class Block(Module):
    """h = x + attention(norm(x)); y = h + feed_forward(norm(h)).

    The norms stand before the layers ("pre-norm"), so the residual stream x runs through every
    block untouched but for what is added to it (Xiong et al. 2020). With "post", as in Vaswani et
    al. 2017: h = norm(x + attention(x)); y = norm(h + feed_forward(h)).
    """

    def __init__(self, config: ModelConfig, *, init: Init, layer: int = 0) -> None:
        self.attention_norm = make_norm(config)
        self.attention = CausalSelfAttention(config, init=init, layer=layer)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = FeedForward(config, init=init)
        self._dropout = Dropout(config.dropout)
        self._is_post = config.norm_position == "post"

    def __call__(
        self,
        x: Array,
        cache: LayerCache | LayerRows | None = None,
        packing: Packing | None = None,
    ) -> Array:
        """Map (B, T, D) to (B, T, D)."""
        if self._is_post:
            summed = self.attention(x, cache, packing)
            summed += x
            h = self.attention_norm(summed)
            summed = self.feed_forward(h)
            summed += h
            return self.feed_forward_norm(summed)
        h = self.attention(self.attention_norm(x), cache, packing)
        h += x
        y = self.feed_forward(self.feed_forward_norm(h))
        y += h
        return y

    def forward(
        self, x: Array, rng: np.random.Generator | None = None, packing: Packing | None = None
    ) -> tuple[Array, Backward]:
        """Map (B, T, D) to (B, T, D)."""
        if self._is_post:
            return self._forward_post(x, rng, packing)
        normed, norm1_backward = self.attention_norm.forward(x)
        attended, attention_backward = self.attention.forward(normed, rng, packing)
        h, dropout1_backward = self._dropout.forward(attended, rng)
        h += x  # h is this call's own array, so the sum needs no new one
        normed, norm2_backward = self.feed_forward_norm.forward(h)
        widened, feed_forward_backward = self.feed_forward.forward(normed, rng)
        y, dropout2_backward = self._dropout.forward(widened, rng)
        y += h

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dbranch, _ = dropout2_backward(dy)
            dbranch, _ = feed_forward_backward(dbranch, place_for("feed_forward", grads))
            dh, _ = norm2_backward(dbranch, place_for("feed_forward_norm", grads))
            dh += dy  # h reached y directly too
            dbranch, _ = dropout1_backward(dh)
            dbranch, _ = attention_backward(dbranch, place_for("attention", grads))
            dx, _ = norm1_backward(dbranch, place_for("attention_norm", grads))
            dx += dh
            return dx, grads

        return y, backward

    def _forward_post(
        self, x: Array, rng: np.random.Generator | None, packing: Packing | None
    ) -> tuple[Array, Backward]:
        attended, attention_backward = self.attention.forward(x, rng, packing)
        summed, dropout1_backward = self._dropout.forward(attended, rng)
        summed += x
        h, norm1_backward = self.attention_norm.forward(summed)
        widened, feed_forward_backward = self.feed_forward.forward(h, rng)
        summed, dropout2_backward = self._dropout.forward(widened, rng)
        summed += h
        y, norm2_backward = self.feed_forward_norm.forward(summed)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dsummed, _ = norm2_backward(dy, place_for("feed_forward_norm", grads))
            dbranch, _ = dropout2_backward(dsummed)
            dh, _ = feed_forward_backward(dbranch, place_for("feed_forward", grads))
            dh += dsummed  # h reached the sum directly too
            dsummed, _ = norm1_backward(dh, place_for("attention_norm", grads))
            dbranch, _ = dropout1_backward(dsummed)
            dx, _ = attention_backward(dbranch, place_for("attention", grads))
            dx += dsummed
            return dx, grads

        return y, backward
