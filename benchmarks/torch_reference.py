"""The model once more in PyTorch's functional operations, for comparison by autograd.

Nothing is shared with the backends but the config and the names of the weights: norms, attention,
RoPE and the loss are PyTorch's own or spelled out as in Hugging Face's models.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from llm_explainer.config import ModelConfig

Weights = dict[str, Tensor]
"""Tensors by the dotted names of ``flatten(model.parameters())``."""

ACTIVATIONS = {
    "relu": functional.relu,
    "gelu": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
    "swiglu": functional.silu,
}


def logits(weights: Weights, config: ModelConfig, tokens: Tensor) -> Tensor:
    """Score every next token: (B, T) -> (B, T, V)."""
    x = functional.embedding(tokens, weights["token_embedding.weight"])  # (B, T, D)
    if config.position == "learned":
        x = x + weights["position_embedding.weight"][: tokens.shape[1]]
    elif config.position == "sinusoidal":
        x = x + sinusoids(tokens.shape[1], config.d_model).to(x)
    for i in range(config.n_layers):
        x = block(weights, config, f"blocks.{i}", x)
    head = weights.get("head.weight", weights["token_embedding.weight"])
    return functional.linear(norm(weights, config, "final_norm", x), head)


def loss(
    weights: Weights, config: ModelConfig, tokens: Tensor, targets: Tensor, mask: Tensor
) -> Tensor:
    """Return the mean loss of the targets that ``mask`` (B, T) counts."""
    ignored = targets.masked_fill(~mask, -100)  # -100 is what PyTorch leaves out
    return functional.cross_entropy(
        logits(weights, config, tokens).flatten(0, 1), ignored.flatten()
    )


def block(weights: Weights, config: ModelConfig, name: str, x: Tensor) -> Tensor:
    """Map (B, T, D) to (B, T, D)."""
    x = x + attention(
        weights, config, f"{name}.attention", norm(weights, config, f"{name}.attention_norm", x)
    )
    normed = norm(weights, config, f"{name}.feed_forward_norm", x)
    hidden = linear(weights, f"{name}.feed_forward.up_proj", normed)
    act = ACTIVATIONS[config.activation]
    if config.activation == "swiglu":
        hidden = act(linear(weights, f"{name}.feed_forward.gate_proj", normed)) * hidden
    else:
        hidden = act(hidden)
    return x + linear(weights, f"{name}.feed_forward.down_proj", hidden)


def attention(weights: Weights, config: ModelConfig, name: str, x: Tensor) -> Tensor:
    """Map (B, T, D) to (B, T, D) by PyTorch's own scaled dot-product attention."""
    n_q, n_kv, width = config.n_heads, config.n_kv_heads, config.head_dim
    qkv = linear(weights, f"{name}.qkv_proj", x).unflatten(-1, (n_q + 2 * n_kv, width))
    q, k, v = qkv.transpose(1, 2).split([n_q, n_kv, n_kv], dim=1)  # (B, heads, T, H)
    if config.position == "rope":
        q, k = rope(q, config.rope_theta), rope(k, config.rope_theta)
    k, v = (heads.repeat_interleave(n_q // n_kv, dim=1) for heads in (k, v))
    attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return linear(weights, f"{name}.out_proj", attended.transpose(1, 2).flatten(2))


def rope(x: Tensor, theta: float) -> Tensor:
    """Turn (B, heads, T, H) to positions 0 .. T-1, half-split."""
    half = x.shape[-1] // 2
    frequencies = theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = torch.outer(torch.arange(x.shape[-2], dtype=torch.float64), frequencies)  # (T, H/2)
    cos, sin = angles.cos().to(x), angles.sin().to(x)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def sinusoids(n_tokens: int, dims: int) -> Tensor:
    """Return sines in the even channels and cosines in the odd ones, (T, D)."""
    frequencies = 10_000.0 ** (-torch.arange(0, dims, 2, dtype=torch.float64) / dims)
    angles = torch.outer(torch.arange(n_tokens, dtype=torch.float64), frequencies)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)


def norm(weights: Weights, config: ModelConfig, name: str, x: Tensor) -> Tensor:
    """Normalise (..., D)."""
    weight, shape = weights[f"{name}.weight"], (config.d_model,)
    if config.norm == "rmsnorm":
        return functional.rms_norm(x, shape, weight, config.norm_eps)
    return functional.layer_norm(x, shape, weight, weights.get(f"{name}.bias"), config.norm_eps)


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    """Map (..., I) to (..., O)."""
    return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))
