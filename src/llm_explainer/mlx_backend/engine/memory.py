"""How much memory a training step takes, and how much there is."""

from __future__ import annotations

import sys

import mlx.core as mx

from llm_explainer.machine import available_memory
from llm_explainer.model_spec import ModelSpec

BYTES = {"float32": 4, "bfloat16": 2}
DEFAULT_LIMIT = mx.get_memory_limit()
"""What MLX allows itself by default: nearly all of a GPU's memory, or of the machine's."""


def training_bytes(
    model: ModelSpec,
    batch_size: int,
    workers: int,
    *,
    dtype: str = "float32",
    recompute: bool = False,
) -> int:
    """Return the bytes that training on ``batch_size`` windows at a time takes, without the data.

    For every parameter: itself, and for those that learn AdamW's two averages, the gradient, the
    sum of the gradients of earlier micro-batches, and two in passing. For every token: what each
    operation keeps for its derivative, what is in flight in the layer whose backward pass runs, and
    the logits. With ``recompute``, every block keeps its input, and all else exists for one block
    at a time.
    ``workers`` changes nothing: MLX has one copy of everything.

    The factors were measured with MLX on the CPU, which runs some operations ahead and so holds
    their results at the same time. A GPU may take less: where its attention never writes down the
    scores, for one.
    """
    config = model.config
    width, d_ff = config.d_model, config.d_ff
    has_layernorm, has_gate = config.norm == "layernorm", config.activation == "swiglu"
    qkv = (config.n_heads + 2 * config.n_kv_heads) * config.head_dim
    scores = config.n_heads * config.context_length
    block = (8.0 if has_layernorm else 1.0) * width + 2 * qkv
    if config.qk_norm:
        block += (config.n_heads + config.n_kv_heads) * config.head_dim
    block += (4 if has_gate else 5.5) * d_ff + 1.2 * scores
    if config.dropout:
        block += width + 2 * scores
    passing = (14 if has_layernorm else 26) * width + 6 * d_ff + 1.6 * scores
    if recompute:
        kept = config.n_layers * width + 1.15 * (block + passing)
    else:
        kept = config.n_layers * block + passing
    # The loss is float32 in any case: logits, their softmax, their gradient.
    logits = 12 if dtype == "float32" else 14  # bytes
    per_token = BYTES[dtype] * kept + logits * config.vocab_size
    # While the largest matrix is updated, its old and new values are there together.
    largest = width * max(config.vocab_size, d_ff, qkv)
    copies = 1 if dtype == "float32" else 2
    parameters = copies * model.count_parameters() + 6 * model.count_trainable() + 3 * largest
    return int(4 * parameters + batch_size * config.context_length * per_token)


def claim_memory(limit_gb: float = 0.0) -> int:
    """Return the bytes that training may take, and have MLX keep to them as well as it can.

    ``limit_gb`` 0 stands for what there is: free memory, on a Mac no more than what Metal
    recommends for a working set, on another GPU what MLX allows itself by default.
    """
    n_bytes = int(limit_gb * 1e9) or _available()
    mx.set_memory_limit(min(n_bytes, sys.maxsize))
    return n_bytes


def _available() -> int:
    if mx.default_device() == mx.Device(mx.cpu):
        return min(DEFAULT_LIMIT, available_memory())
    recommended = mx.device_info().get("max_recommended_working_set_size")
    if recommended is None:
        return DEFAULT_LIMIT
    return min(int(recommended), available_memory())  # Metal shares the machine's memory
