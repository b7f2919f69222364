"""How much memory a training step takes, counted from what automatic differentiation keeps."""

from __future__ import annotations

from llm_explainer.config import ModelConfig

BYTES = 4  # of a float32


def training_bytes(config: ModelConfig, batch_size: int, threads: int) -> int:
    """Return the bytes that training on ``batch_size`` windows takes, without the data.

    For every parameter: itself, AdamW's two averages, their new values while the old ones are still
    there, its gradient, and a copy in passing. For every token: what each operation keeps for its
    derivative, and the logits. ``threads`` changes nothing: MLX has one copy of everything.

    The counts are those of a compiled step on the CPU. A GPU may take less: where its attention
    never writes down the scores, for one.
    """
    width, d_ff = config.d_model, config.d_ff
    scores = config.n_heads * config.context_length
    hidden = (4 if config.activation == "swiglu" else 5) * d_ff
    block = 8 * width + hidden + 2 * scores
    masks = (2 * width + scores) // 2 if config.dropout else 0
    passing = 4 * width + 2 * d_ff + 2 * scores  # in the layer whose backward pass runs
    per_token = config.n_layers * (block + masks) + passing + 3 * config.vocab_size
    per_parameter = 8
    n_tokens = batch_size * config.context_length
    return BYTES * (per_parameter * config.count_parameters() + n_tokens * per_token)
