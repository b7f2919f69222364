"""Initial weights: seeded NumPy draws, so that both backends start from the same numbers."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from llm_explainer.config import InitScheme

Init = Callable[[tuple[int, ...], float], NDArray[np.float32]]
"""``init(shape, scale)`` draws the next weight; the order of the calls fixes its values."""

STD = 0.02
"""Standard deviation of every weight (Radford et al. 2018, GPT, section 4.1)."""


def initializer(seed: int = 0, scheme: InitScheme = "normal") -> Init:
    """Return a function that draws weights from N(0, (0.02 · scale)²), float32.

    ``truncated_normal`` redraws what lies more than two standard deviations out; ``zeros`` draws
    nothing, for a model whose weights come from a checkpoint.
    ``scale`` is 1 but for the projections that write into the residual stream: with 2 · n_layers
    of them adding up, 1 / sqrt(2 · n_layers) keeps the stream's variance independent of depth
    (Radford et al. 2019, GPT-2, section 2.3).
    """
    rng = np.random.default_rng(seed)

    def draw(shape: tuple[int, ...], scale: float = 1.0) -> NDArray[np.float32]:
        if scheme == "zeros":
            return np.zeros(shape, np.float32)
        weight = rng.standard_normal(shape, dtype=np.float32)
        if scheme == "truncated_normal":
            while (outside := np.abs(weight) > 2).any():
                weight[outside] = rng.standard_normal(int(outside.sum()), dtype=np.float32)
        weight *= np.float32(STD * scale)
        return weight

    return draw


def adapter_a(rng: np.random.Generator, rank: int, input_dims: int) -> NDArray[np.float32]:
    """Return an adapter's A (R, I), uniform within 1 / sqrt(I), as PEFT draws it.

    With B = 0 the model computes what it did before, and the first gradients reach B alone.
    """
    bound = 1 / math.sqrt(input_dims)
    return rng.uniform(-bound, bound, (rank, input_dims)).astype(np.float32)
