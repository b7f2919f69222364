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

    @abstractmethod
    def __call__(self, x: Array) -> Array:
        """Return f(x)."""

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Return f(x); the closure keeps f'(x)."""
        y, slope = self.value_and_slope(x)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            return dy * slope, {} if out is None else out

        return y, backward


class ReLU(Activation):
    """max(x, 0), with slope 0 at 0."""

    def __call__(self, x: Array) -> Array:
        """Return max(x, 0)."""
        return np.maximum(x, 0)

    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return max(x, 0) and (x > 0)."""
        y = self(x)
        slope = np.empty_like(x) if slope is None else slope
        slope[...] = x > 0
        return y, slope


class SiLU(Activation):
    """x · sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""

    def __call__(self, x: Array) -> Array:
        """Return x · sigmoid(x)."""
        y = sigmoid_of_negative_(-x)
        y *= x
        return y

    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return y = x s and s + y (1 - s), with s = sigmoid(x)."""
        s = sigmoid_of_negative_(-x)
        y = x * s
        slope = np.subtract(1, s, out=slope)
        slope *= y
        slope += s
        return y, slope


class GELU(Activation):
    """x · Φ(x) in GPT-2's tanh form (Hendrycks and Gimpel 2016, section 2).

    0.5 x (1 + tanh u), with u = sqrt(2/π) (x + 0.044715 x³), which is x · sigmoid(2u).
    """

    def __call__(self, x: Array) -> Array:
        """Return x · sigmoid(2u)."""
        y, _ = self._sigmoid(x)
        y *= x
        return y

    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return y = x s and s + y (1 - s) 2u', with s = sigmoid(2u)."""
        s, x_squared = self._sigmoid(x)
        y = x * s
        c = math.sqrt(2 / math.pi)
        x_squared *= 6 * c * 0.044715
        x_squared += 2 * c  # 2u' = 2c (1 + 3 · 0.044715 x²)
        slope = np.subtract(1, s, out=slope)
        slope *= x_squared
        slope *= y
        slope += s
        return y, slope

    @staticmethod
    def _sigmoid(x: Array) -> tuple[Array, Array]:
        """Return sigmoid(2u) and x²."""
        c = math.sqrt(2 / math.pi)
        x_squared = x * x
        s = x_squared * (-2 * c * 0.044715)
        s -= 2 * c
        s *= x  # -2u
        return sigmoid_of_negative_(s), x_squared


def sigmoid_of_negative_(z: Array) -> Array:
    """Turn z into sigmoid(-z) = 1 / (1 + exp(z)), in place.

    NumPy's ``exp`` takes half as long as its ``tanh``. Where it overflows, 1 / inf is the right 0.
    """
    with np.errstate(over="ignore"):
        np.exp(z, out=z)
    z += 1
    return np.reciprocal(z, out=z)
