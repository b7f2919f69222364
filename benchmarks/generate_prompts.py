"""The prompts that all contestants continue."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def prompts(batch_size: int, length: int, vocab_size: int) -> NDArray[np.int64]:
    """Return random ids, (B, T)."""
    return np.random.default_rng(1).integers(vocab_size, size=(batch_size, length))
