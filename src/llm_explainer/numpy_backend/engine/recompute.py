"""Trading time for memory: a block's forward pass again, when its backward pass is due.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 4, with a segment for
each block: what is kept of a block is its input, and what its closures would keep exists for one
block at a time. The price is a second forward pass, a third more time.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import copy

import numpy as np

from llm_explainer.numpy_backend.block import Block
from llm_explainer.numpy_backend.module import Array, Backward
from llm_explainer.numpy_backend.packing import Packing
from llm_explainer.tree import Tree


def recomputed(
    block: Block, x: Array, rng: np.random.Generator | None, packing: Packing | None = None
) -> tuple[Array, Backward]:
    """Return what ``block.forward`` does, number for number; the closure keeps only x."""
    rng_before = copy.deepcopy(rng)  # so that the second pass drops what the first one did
    y, _ = block.forward(x, rng, packing)

    def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
        _, block_backward = block.forward(x, copy.deepcopy(rng_before), packing)
        return block_backward(dy, out)

    return y, backward
