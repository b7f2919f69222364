"""How much memory a training step takes, counted from what the closures keep; and what there is."""

from __future__ import annotations

from llm_explainer.machine import available_memory
from llm_explainer.model_spec import ModelSpec

BYTES = 4  # of a float32
ALLOWANCE = 1.06  # for what the allocator leaves unused between arrays


def training_bytes(
    model: ModelSpec,
    batch_size: int,
    workers: int,
    *,
    dtype: str = "float32",
    recompute: bool = False,
) -> int:
    """Return the bytes that training on ``batch_size`` windows at a time takes, without the data.

    For every parameter: itself, and for those that learn AdamW's two averages, the summed gradient
    and one gradient for each worker. For every token: what each layer's closure keeps for its
    backward pass, and the logits. With ``recompute``, every block keeps its input, and all else
    exists for one block at a time.
    ``dtype`` changes nothing: NumPy has float32 alone.
    """
    config = model.config
    width, d_ff = config.d_model, config.d_ff
    qkv = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
    scores = config.n_heads * config.context_length
    norms = 4 * width  # two of them, each keeping its normalised input and its output
    # SwiGLU keeps gate's slope, gate's value, up, and their product; others slope and value.
    hidden = (4 if config.activation == "swiglu" else 2) * d_ff
    block = norms + qkv + scores + config.attention_width + hidden
    if config.qk_norm:  # each norm keeps its normalised input
        block += (config.n_heads + config.n_kv_heads) * config.head_dim
    if config.dropout:
        block += 2 * width + scores  # the masks
    kept = config.n_layers * width + block if recompute else config.n_layers * block
    head = 4 * width + config.vocab_size
    # The backward pass of the widest layer holds two more gradients of its width for a moment.
    passing = 2 * max(d_ff, qkv)
    parameters = model.count_parameters() + (3 + workers) * model.count_trainable()
    n_tokens = batch_size * config.context_length
    numbers = parameters + n_tokens * (kept + head + passing)
    return int(ALLOWANCE * BYTES * numbers)


def claim_memory(limit_gb: float = 0.0) -> int:
    """Return the bytes that training may take: ``limit_gb``, or where that is 0 what is free."""
    return int(limit_gb * 1e9) or available_memory()
