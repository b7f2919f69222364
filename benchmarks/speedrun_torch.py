"""Contestant: the nanoGPT configuration in PyTorch, as its README trains on a CPU.

4 layers, 4 heads, 128 wide, no biases, context 64, batches of 12, 2,000 steps of fused AdamW at
1e-3, down to 1e-4 by half a cosine after 100 steps of warm-up; no dropout, not compiled.
"""

from __future__ import annotations

import json
import math
import sys
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import speedrun_task as task

LAYERS, HEADS, WIDTH, BATCH, STEPS, WARMUP = 4, 4, 128, 12, 2000, 100
HIGHEST_RATE, LOWEST_RATE, BETAS, WEIGHT_DECAY, CLIP_NORM = 1e-3, 1e-4, (0.9, 0.99), 0.1, 1.0


class Block(nn.Module):
    """Pre-norm attention and feed-forward network."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, T, D) to (B, T, D)."""
        b, t, d = x.shape
        q, k, v = (
            part.view(b, t, HEADS, -1).transpose(1, 2)  # (B, heads, T, D / heads)
            for part in self.qkv(self.norm1(x)).split(WIDTH, dim=-1)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, d))
        return x + self.down(functional.gelu(self.up(self.norm2(x))))


class NanoGPT(nn.Module):
    """GPT-2's shape with a tied head; what writes into the residual stream starts out smaller."""

    def __init__(self, vocab_size: int) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocab_size, WIDTH)
        self.positions = nn.Embedding(task.CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_stream = name.endswith(("out.weight", "down.weight"))
                scale = 1 / math.sqrt(2 * LAYERS) if into_stream else 1.0
                nn.init.normal_(parameter, std=0.02 * scale)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean cross-entropy of (B, T)."""
        x = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1]))
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def learning_rate(step: int) -> float:
    """Return the rate of an update, counted from 0."""
    if step < WARMUP:
        return HIGHEST_RATE * (step + 1) / (WARMUP + 1)
    progress = (step - WARMUP) / (STEPS - WARMUP)
    return LOWEST_RATE + (HIGHEST_RATE - LOWEST_RATE) * (1 + math.cos(math.pi * progress)) / 2


def main() -> None:
    """Train with the corpus and the seed of the command line; print each evaluation as JSON."""
    train, validation, vocab_size = task.load(sys.argv[1])
    seed = int(sys.argv[2])
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = NanoGPT(vocab_size)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim == 2], "weight_decay": WEIGHT_DECAY},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=HIGHEST_RATE, betas=BETAS, fused=True)

    def loss_of(inputs: task.Ids, targets: task.Ids) -> float:
        with torch.no_grad():
            return float(model(torch.from_numpy(inputs), torch.from_numpy(targets)))

    seconds = 0.0
    for step in range(STEPS):
        start = time.perf_counter()
        starts = rng.integers(len(train) - task.CONTEXT, size=BATCH)
        x, y = (torch.from_numpy(ids) for ids in task.windows(train, starts))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step)
        optimizer.zero_grad(set_to_none=True)
        model(x, y).backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        seconds += time.perf_counter() - start
        if (step + 1) % task.EVALUATE_EVERY == 0:
            loss = task.estimate_loss(loss_of, validation, step + 1)
            print(json.dumps({"step": step + 1, "seconds": seconds, "loss": loss}), flush=True)
    print(json.dumps({"whole": task.whole_loss(loss_of, validation)}), flush=True)


if __name__ == "__main__":
    main()
