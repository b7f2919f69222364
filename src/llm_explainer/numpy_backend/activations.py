"""ReLU, GELU and SiLU: each computes its value and its slope in one go.

Value and slope share almost all their work (one tanh, one exp), so ``value_and_slope`` makes both
in the forward pass and the backward pass is one product: dx = dy · slope. Powers are spelled as
products: ``x ** 3`` calls the C library for each element and takes 300 times as long.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from llm_explainer.numpy_backend.module import Array, Backward, Module
from llm_explainer.tree import Tree


class Activation(Module):
    """A function of single numbers, applied to an array of any shape."""

    @abstractmethod
    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return f(x) and f'(x). ``slope`` receives f'(x); it may be x itself."""

    def __call__(self, x: Array) -> Array:
        """Return f(x)."""
        return self.value_and_slope(x)[0]

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Return f(x); the closure keeps f'(x)."""
        y, slope = self.value_and_slope(x)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            return dy * slope, {} if out is None else out

        return y, backward


class ReLU(Activation):
    """max(x, 0), with slope 0 at 0."""

    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return max(x, 0) and (x > 0)."""
        y = np.maximum(x, 0)
        slope = np.empty_like(x) if slope is None else slope
        slope[...] = x > 0
        return y, slope


class SiLU(Activation):
    """x · sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""

    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return y = x s and s + y (1 - s), with s = sigmoid(x)."""
        s = np.tanh(x * 0.5)  # sigmoid(x) = (1 + tanh(x / 2)) / 2, which cannot overflow
        s += 1
        s *= 0.5
        y = x * s
        slope = np.subtract(1, s, out=slope)
        slope *= y
        slope += s
        return y, slope


class GELU(Activation):
    """x · Φ(x) in GPT-2's tanh form (Hendrycks and Gimpel 2016, section 2).

    0.5 x (1 + tanh u), with u = sqrt(2/π) (x + 0.044715 x³).
    """

    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return y = x s and s + y (1 - s) 2u', with s = (1 + tanh u) / 2."""
        c = math.sqrt(2 / math.pi)
        x_squared = x * x
        s = x_squared * (c * 0.044715)
        s += c
        s *= x  # u
        np.tanh(s, out=s)
        s += 1
        s *= 0.5
        y = x * s
        x_squared *= 6 * c * 0.044715
        x_squared += 2 * c  # 2u' = 2c (1 + 3 · 0.044715 x²)
        slope = np.subtract(1, s, out=slope)
        slope *= x_squared
        slope *= y
        slope += s
        return y, slope
