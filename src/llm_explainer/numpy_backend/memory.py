"""How much memory a training step takes, counted from what the closures keep."""

from __future__ import annotations

from llm_explainer.config import ModelConfig

BYTES = 4  # of a float32


def training_bytes(config: ModelConfig, batch_size: int, threads: int) -> int:
    """Return the bytes that training on ``batch_size`` windows takes, without the data.

    For every parameter: itself, AdamW's two averages, the summed gradient and one gradient for each
    thread. For every token: what each layer's closure keeps for its backward pass, and the logits.
    """
    width, d_ff = config.d_model, config.d_ff
    qkv = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
    scores = config.n_heads * config.context_length
    norms = 4 * width  # two of them, each keeping its normalised input and its output
    # SwiGLU keeps gate's slope, gate's value, up, and their product; others slope and value.
    hidden = (4 if config.activation == "swiglu" else 2) * d_ff
    block = norms + qkv + scores + width + hidden
    masks = (2 * width + scores) if config.dropout else 0
    head = 4 * width + config.vocab_size
    # The backward pass of the widest layer holds two more gradients of its width for a moment.
    passing = 2 * max(d_ff, qkv)
    per_token = config.n_layers * (block + masks) + head + passing
    per_parameter = 4 + threads
    n_tokens = batch_size * config.context_length
    return BYTES * (per_parameter * config.count_parameters() + n_tokens * per_token)
