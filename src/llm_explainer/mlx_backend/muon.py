"""Muon: momentum made orthogonal, for the matrices inside the blocks; AdamW for all else.

The NumPy twin says why.
"""

from __future__ import annotations

import math

import mlx.core as mx

from llm_explainer.mlx_backend.module import Array, Module
from llm_explainer.mlx_backend.optimizer import AdamW
from llm_explainer.parameter_groups import ORTHOGONALIZED

COEFFICIENTS = 3.4445, -4.7750, 2.0315
ITERATIONS = 5
RATE_SCALE = 0.2


class Muon(AdamW):
    """For a block's matrix (O, I): m = μ m + (1 - μ) g; u = μ m + (1 - μ) g (Nesterov's momentum);

    p = p - lr · 0.2 sqrt(max(O, I)) · orthogonal(u) - lr · weight_decay · p.

    Jordan et al. 2024; Liu et al. 2025, section 2.2, for the scale. All other groups of
    parameters are AdamW's. The matrices' v stays zero.
    """

    def __init__(
        self,
        model: Module,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(model, betas=betas, eps=eps, weight_decay=weight_decay)
        self.momentum = momentum

    def change(
        self, name: str, gradient: Array, state: list[Array], rates: Array
    ) -> tuple[Array, ...]:
        """Return the move and the new m and v."""
        if self.groups[name] not in ORTHOGONALIZED:
            return super().change(name, gradient, state, rates)
        m, v = state
        newest = (1 - self.momentum) * gradient
        m = self.momentum * m + newest
        move = orthogonal(self.momentum * m + newest)  # (O, I)
        return rates[0] * (RATE_SCALE * math.sqrt(max(gradient.shape))) * move, m, v


def orthogonal(matrix: Array) -> Array:
    """Return about U Vᵀ for the matrix U Σ Vᵀ, by five Newton-Schulz iterations."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (mx.sqrt(mx.square(x).sum()) + 1e-12)  # the largest singular value is at most 1
    for _ in range(ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.T if tall else x
