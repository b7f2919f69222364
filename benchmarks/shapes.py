"""The work that training benchmarks do: the sizes, their batches, and random tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from llm_explainer import ModelConfig

BATCH_SIZES = {"tiny": 16, "small": 16, "medium": 8, "large": 8, "quick": 4}
"""Rows of a batch. ``quick`` is what ``run_demo.py quick`` trains, of the family that is asked."""
FAMILIES = ("gpt2", "llama")
LEARNING_RATE, BETAS, EPS, WEIGHT_DECAY, CLIP_NORM = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def shape(size: str, family: str = "gpt2") -> ModelConfig:
    """Return a size's config."""
    if size == "quick":
        return ModelConfig.preset("small", family=family, n_layers=3, vocab_size=1280)
    return ModelConfig.preset(size, family=family)


def random_batch(
    size: str, family: str = "gpt2"
) -> tuple[ModelConfig, NDArray[np.int64], NDArray[np.int64]]:
    """Return a size's config, tokens (B, T) and targets (B, T)."""
    config = shape(size, family)
    dims = (2, BATCH_SIZES[size], config.context_length)
    tokens, targets = np.random.default_rng(1).integers(config.vocab_size, size=dims)
    return config, tokens, targets
