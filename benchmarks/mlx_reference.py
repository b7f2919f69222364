"""The same models and step in MLX, as an MLX user would write them, without our library.

``mlx.nn`` layers, ``mx.fast.scaled_dot_product_attention``, ``nn.value_and_grad``, gradients
clipped by ``clip_grad_norm``, ``mlx.optimizers.AdamW`` with decay on matrices only, and the loss
asked for after every step.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.optimizers import AdamW, MultiOptimizer, clip_grad_norm

from benchmarks.shapes import BETAS, CLIP_NORM, EPS, LEARNING_RATE, WEIGHT_DECAY
from llm_explainer import ModelConfig

Step = Callable[[mx.array, mx.array], mx.array]


class PlainBlock(nn.Module):
    """Pre-norm attention and feed-forward network, GPT-2's or Llama's."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads = config.n_heads, config.n_kv_heads
        self.is_llama = config.family == "llama"
        norm = partial(nn.RMSNorm if self.is_llama else nn.LayerNorm, config.d_model)
        linear = partial(nn.Linear, bias=config.bias)
        self.norm1, self.norm2 = norm(), norm()
        n_qkv = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
        self.qkv = linear(config.d_model, n_qkv)
        self.out = linear(config.d_model, config.d_model)
        self.up = linear(config.d_model, config.d_ff)
        self.down = linear(config.d_ff, config.d_model)
        if self.is_llama:
            self.gate = linear(config.d_model, config.d_ff)
            self.rope = nn.RoPE(config.head_dim)

    def __call__(self, x: mx.array) -> mx.array:
        """Map (B, T, D) to (B, T, D)."""
        b, t, _ = x.shape
        heads = self.qkv(self.norm1(x)).reshape(b, t, self.n_heads + 2 * self.n_kv_heads, -1)
        cuts = [self.n_heads, self.n_heads + self.n_kv_heads]
        q, k, v = mx.split(heads.transpose(0, 2, 1, 3), cuts, axis=1)  # (B, heads, T, H)
        if self.is_llama:
            q, k = self.rope(q), self.rope(k)
        scale = q.shape[-1] ** -0.5
        y = mx.fast.scaled_dot_product_attention(q, k, v, scale=scale, mask="causal")
        x = x + self.out(y.transpose(0, 2, 1, 3).reshape(b, t, -1))
        return x + self.down(self.widen(self.norm2(x)))

    def widen(self, x: mx.array) -> mx.array:
        """Map (B, T, D) to (B, T, F)."""
        if self.is_llama:
            return nn.silu(self.gate(x)) * self.up(x)
        return nn.gelu_approx(self.up(x))


class PlainGPT(nn.Module):
    """A GPT-2 or a Llama, with the head tied to the token embedding."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        if config.position == "learned":
            self.positions = nn.Embedding(config.context_length, config.d_model)
        self.blocks = [PlainBlock(config) for _ in range(config.n_layers)]
        norm = nn.RMSNorm if config.family == "llama" else nn.LayerNorm
        self.norm = norm(config.d_model)

    def __call__(self, tokens: mx.array) -> mx.array:
        """Return the logits (B, T, V)."""
        x = self.tokens(tokens)
        if "positions" in self:
            x = x + self.positions(mx.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        return self.tokens.as_linear(self.norm(x))


def plain_step(config: ModelConfig, *, compiled: bool) -> Step:
    """Return a step that trains a new model on tokens (B, T), targets (B, T)."""
    model = PlainGPT(config)
    mx.eval(model.parameters())
    adamw = partial(AdamW, LEARNING_RATE, betas=list(BETAS), eps=EPS, bias_correction=True)
    optimizer = MultiOptimizer(
        [adamw(weight_decay=WEIGHT_DECAY), adamw(weight_decay=0.0)],
        [lambda name, weight: weight.ndim >= 2],
    )
    state = [model.state, optimizer.state]

    def loss_of(tokens: mx.array, targets: mx.array) -> mx.array:
        return nn.losses.cross_entropy(model(tokens), targets, reduction="mean")

    value_and_grad = nn.value_and_grad(model, loss_of)

    def update(tokens: mx.array, targets: mx.array) -> mx.array:
        loss, grads = value_and_grad(tokens, targets)
        grads, _ = clip_grad_norm(grads, CLIP_NORM)
        optimizer.update(model, grads)
        return loss

    if compiled:
        update = mx.compile(update, inputs=state, outputs=state)

    def step(tokens: mx.array, targets: mx.array) -> Any:
        loss = update(tokens, targets)
        mx.eval(loss, state)
        return loss.item()

    return step
