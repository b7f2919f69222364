"""A transformer block: attention, then the feed-forward network, each read and added back.

Explained in ``Tutorial/06 - TransformerBlock.md``.
"""

from __future__ import annotations

from llm_explainer.config import ModelConfig
from llm_explainer.init import Init
from llm_explainer.mlx_backend.attention import CausalSelfAttention
from llm_explainer.mlx_backend.cache import LayerCache, LayerRows
from llm_explainer.mlx_backend.feed_forward import FeedForward
from llm_explainer.mlx_backend.layers import Dropout
from llm_explainer.mlx_backend.module import Array, Backward, Key, Module, split_key, with_backward
from llm_explainer.mlx_backend.norms import make_norm
from llm_explainer.mlx_backend.packing import Packing


class Block(Module):
    """h = x + attention(norm(x)); y = h + feed_forward(norm(h)).

    The norms stand before the layers ("pre-norm"), so the residual stream x runs through every
    block untouched but for what is added to it (Xiong et al. 2020). With "post", as in Vaswani et
    al. 2017: h = norm(x + attention(x)); y = norm(h + feed_forward(h)).
    """

    def __init__(self, config: ModelConfig, *, init: Init, layer: int = 0) -> None:
        super().__init__()
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
        return self.run(x, cache, packing=packing)

    def forward(
        self, x: Array, rng: Key | None = None, packing: Packing | None = None
    ) -> tuple[Array, Backward]:
        """Map (B, T, D) to (B, T, D)."""
        return with_backward(self, lambda x: self.run(x, rng=rng, packing=packing), x)

    def run(
        self,
        x: Array,
        cache: LayerCache | LayerRows | None = None,
        rng: Key | None = None,
        packing: Packing | None = None,
    ) -> Array:
        """Map (B, T, D) to (B, T, D), for inference and training."""
        keys = split_key(rng, 3)
        if self._is_post:
            attended = self.attention.run(x, cache, keys[0], packing)
            h = self.attention_norm(x + self._dropout.drop(attended, keys[1]))
            widened = self.feed_forward.run(h, keys[2])
            return self.feed_forward_norm(h + self._dropout.drop(widened, keys[2]))
        attended = self.attention.run(self.attention_norm(x), cache, keys[0], packing)
        h = x + self._dropout.drop(attended, keys[1])
        widened = self.feed_forward.run(self.feed_forward_norm(h), keys[2])
        return h + self._dropout.drop(widened, keys[2])
