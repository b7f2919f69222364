"""Muon: momentum made orthogonal, for the matrices inside the blocks; AdamW for all else.

The gradients of a matrix mostly point along a few directions. Muon moves it by the same length
along all of them: of the momentum U Σ Vᵀ (its singular value decomposition) it takes U Vᵀ. Small
models reach a loss in about half of the steps that AdamW takes (Jordan et al. 2024, "Muon: An
optimizer for hidden layers in neural networks").
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from llm_explainer.numpy_backend.module import Array, Module
from llm_explainer.numpy_backend.optimizer import AdamW
from llm_explainer.parameter_groups import ORTHOGONALIZED

COEFFICIENTS = 3.4445, -4.7750, 2.0315
ITERATIONS = 5
RATE_SCALE = 0.2
"""Makes an update as long as AdamW's usual one, so that both take the same learning rate."""


class Muon(AdamW):
    """For a block's matrix (O, I): m = μ m + (1 - μ) g; u = μ m + (1 - μ) g (Nesterov's momentum);

    p = p - lr · 0.2 sqrt(max(O, I)) · orthogonal(u) - lr · weight_decay · p.

    Liu et al. 2025, "Muon is Scalable for LLM Training", section 2.2, for the scale. All other
    groups of parameters (embeddings, head, norms, biases) are AdamW's. The matrices' v stays zero.
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
        self._matrices = [
            (span, shape)
            for name, (span, shape) in self.flat.spans().items()
            if self.flat.groups[name] in ORTHOGONALIZED
        ]

    def update_slice(self, grads: Array, learning_rate: float, scale: float, part: slice) -> None:
        """Update the numbers ``part``, and all of each block's matrix that begins there."""
        for span, shape in self._matrices:
            if part.start <= span.start < part.stop:
                self._update_matrix(grads[span].reshape(shape), learning_rate, scale, span)
        for rest in self._without_matrices(part):
            super().update_slice(grads, learning_rate, scale, rest)

    def _without_matrices(self, part: slice) -> Iterator[slice]:
        """Yield the stretches of ``part`` that lie between the matrices, which are in order."""
        start = part.start
        for span, _ in self._matrices:
            if start < span.start < part.stop:
                yield slice(start, span.start)
            if span.start < part.stop:
                start = max(start, span.stop)
        if start < part.stop:
            yield slice(start, part.stop)

    def _update_matrix(
        self, gradient: Array, learning_rate: float, scale: float, span: slice
    ) -> None:
        m = self._state["m"].flat[span].reshape(gradient.shape)
        newest = gradient * ((1 - self.momentum) * scale)
        m *= self.momentum
        m += newest
        move = orthogonal(m * self.momentum + newest)  # (O, I)
        self._decay(span, learning_rate)
        p = self.flat.values[span].reshape(gradient.shape)
        p -= move * (learning_rate * RATE_SCALE * math.sqrt(max(gradient.shape)))


def orthogonal(matrix: Array) -> Array:
    """Return about U Vᵀ for the matrix U Σ Vᵀ: what is left when all singular values become 1.

    A polynomial, odd and so applied to the singular values alone, drives them towards 1 from
    wherever they are in (0, 1] (Newton-Schulz; Jordan's coefficients, which trade exactness for
    speed: what is not tiny ends between 0.7 and 1.2).
    """
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix  # the smaller Gram matrix takes less work
    length = math.sqrt(float(np.vdot(matrix, matrix)))
    x = np.divide(x, length + 1e-12, order="C")  # the largest singular value is at most 1
    for _ in range(ITERATIONS):
        gram = x @ x.T
        polynomial = gram @ gram
        polynomial *= c
        gram *= b
        polynomial += gram
        np.einsum("ii->i", polynomial)[...] += a  # the diagonal, as a view
        x = polynomial @ x  # (a + b x xᵀ + c (x xᵀ)²) x
    return x.T if tall else x
