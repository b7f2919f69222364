"""Trading time for memory: a block's forward pass again, when its backward pass is due.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost", section 4: of a block, what is
kept is its input, and nothing of what was computed on the way.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx

from llm_explainer.mlx_backend.module import Array, Module, holding
from llm_explainer.tree import Tree


def recomputed(module: Module, function: Callable[[Array], Array], x: Array) -> Array:
    """Return function(x), of this module, such that the backward pass runs it again.

    (NumPy's twin takes a block and returns its backward pass too, which MLX derives.)
    """

    def run(parameters: Tree, x: Array) -> Array:
        with holding(module, parameters):
            return function(x)

    # The parameters are an argument, because what a function just refers to gets no gradient. All
    # of them: MLX computes the gradients that are asked for, and not the others.
    y: Array = mx.checkpoint(run)(module.parameters(), x)
    return y
