"""A Llama in PyTorch: RMSNorm, RoPE, grouped-query attention and SwiGLU, without biases.

As ``train_torch.py``: PyTorch's own fused operations wherever it has them.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from llm_explainer import ModelConfig


class TorchLlamaBlock(nn.Module):
    """Pre-norm attention and gated feed-forward network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width, d_ff = config.d_model, config.d_ff
        self.heads = [config.n_heads, config.n_kv_heads, config.n_kv_heads]
        self.head_dim = config.head_dim
        self.norm1 = nn.RMSNorm(width, config.norm_eps)
        self.norm2 = nn.RMSNorm(width, config.norm_eps)
        self.qkv = nn.Linear(width, sum(self.heads) * self.head_dim, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.gate = nn.Linear(width, d_ff, bias=False)
        self.up = nn.Linear(width, d_ff, bias=False)
        self.down = nn.Linear(d_ff, width, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        """Map (B, T, D) to (B, T, D)."""
        b, t, d = x.shape
        heads = self.qkv(self.norm1(x)).view(b, t, -1, self.head_dim).transpose(1, 2)
        q, k, v = heads.split(self.heads, dim=1)  # (B, heads, T, D / heads) each
        y = functional.scaled_dot_product_attention(
            rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True, enable_gqa=True
        )
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        normed = self.norm2(x)
        return x + self.down(functional.silu(self.gate(normed)) * self.up(normed))


class TorchLlama(nn.Module):
    """Llama."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.blocks = nn.ModuleList(TorchLlamaBlock(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.d_model, config.norm_eps)
        half = torch.arange(0, config.head_dim, 2) / config.head_dim
        angles = torch.outer(torch.arange(config.context_length), config.rope_theta**-half)
        angles = torch.cat([angles, angles], dim=1)  # (T, D / heads)
        self.register_buffer("cos", angles.cos())
        self.register_buffer("sin", angles.sin())
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of (B, T)."""
        x = self.tokens(tokens)
        for block in self.blocks:
            x = block(x, self.cos, self.sin)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Turn (B, heads, T, D / heads) to positions 0 .. T-1, half-split."""
    a, b = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-b, a], dim=-1) * sin
