"""The work that training benchmarks do: the sizes, their batches, and random tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_explainer import ModelConfig

BATCH_SIZES = {"tiny": 16, "small": 16, "medium": 8, "large": 8}
LEARNING_RATE, BETAS, EPS, WEIGHT_DECAY, CLIP_NORM = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def random_batch(size: str) -> tuple[ModelConfig, NDArray[np.int64], NDArray[np.int64]]:
    """Return a size's GPT-2 config, tokens (B, T) and targets (B, T)."""
    config = ModelConfig.preset(size)
    shape = (2, BATCH_SIZES[size], config.context_length)
    tokens, targets = np.random.default_rng(1).integers(config.vocab_size, size=shape)
    return config, tokens, targets
