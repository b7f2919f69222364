"""Contestant: the same model and step in PyTorch, written the way nanoGPT is.

One fused QKV projection, ``scaled_dot_product_attention``, tanh GELU, tied embeddings, fused AdamW
with decay on matrices only: what a good PyTorch user would write. Arguments: size, family, and
``eager`` or ``compile``.
"""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.nn import functional

from benchmarks.interleaved import serve
from benchmarks.shapes import BETAS, CLIP_NORM, EPS, LEARNING_RATE, WEIGHT_DECAY, random_batch
from benchmarks.train_torch_llama import TorchLlama
from llm_explainer import ModelConfig


class TorchBlock(nn.Module):
    """Pre-norm attention and feed-forward network."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.norm1, self.norm2 = nn.LayerNorm(config.d_model), nn.LayerNorm(config.d_model)
        self.qkv = nn.Linear(config.d_model, 3 * config.d_model)
        self.out = nn.Linear(config.d_model, config.d_model)
        self.up = nn.Linear(config.d_model, config.d_ff)
        self.down = nn.Linear(config.d_ff, config.d_model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, T, D) to (B, T, D)."""
        b, t, d = x.shape
        heads = self.qkv(self.norm1(x)).view(b, t, 3, self.n_heads, -1)
        q, k, v = heads.permute(2, 0, 3, 1, 4)  # (B, heads, T, D / heads) each
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate="tanh"))


class TorchGPT(nn.Module):
    """GPT-2."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocab_size, config.d_model)
        self.positions = nn.Embedding(config.context_length, config.d_model)
        self.blocks = nn.ModuleList(TorchBlock(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.d_model)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy of (B, T)."""
        x = self.tokens(tokens) + self.positions(torch.arange(tokens.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def main() -> None:
    """Serve steps of the size, family and mode named on the command line."""
    size, family, mode = sys.argv[1:4]
    config, tokens, targets = random_batch(size, family)
    model = TorchLlama(config) if family == "llama" else TorchGPT(config)
    compiled = torch.compile(model) if mode == "compile" else model
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": WEIGHT_DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=EPS, fused=True)
    x, y = torch.from_numpy(tokens), torch.from_numpy(targets)

    def step() -> None:
        loss = compiled(x, y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()

    serve(step)


if __name__ == "__main__":
    main()
