"""ReLU, GELU and SiLU: each computes its value and its slope in one go.

Value and slope share almost all their work (one exp), so ``value_and_slope`` makes both in the
forward pass and the backward pass is one product: dx = dy · slope. Powers are spelled as
products: ``x ** 3`` calls the C library for each element and takes 300 times as long. And these
functions run over their numbers a dozen times, so they take the rows a few at a time
(``row_blocks``).

Explained in ``Tutorial/05 - FeedForwardNetwork.md``.
"""

from __future__ import annotations

import math
from abc import abstractmethod

import numpy as np

from llm_explainer.numpy_backend.kernels import row_blocks
from llm_explainer.numpy_backend.module import Array, Backward, Module
from llm_explainer.tree import Tree


class Activation(Module):
    """A function of single numbers, applied to an array of one axis or more."""

    def __call__(self, x: Array) -> Array:
        """Return f(x)."""
        y = np.empty_like(x)
        for rows in row_blocks(x):
            self.write_value(x[rows], y[rows])
        return y

    def value_and_slope(self, x: Array, slope: Array | None = None) -> tuple[Array, Array]:
        """Return f(x) and f'(x). ``slope`` receives f'(x); it may be x itself."""
        y = np.empty_like(x)
        slope = np.empty_like(x) if slope is None else slope
        for rows in row_blocks(x):
            self.write_value_and_slope(x[rows], y[rows], slope[rows])
        return y, slope

    @abstractmethod
    def write_value(self, x: Array, y: Array) -> None:
        """Write f(x) into y, all at once."""

    @abstractmethod
    def write_value_and_slope(self, x: Array, y: Array, slope: Array) -> None:
        """Write f(x) into y and f'(x) into slope, which may be x itself, all at once."""

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Return f(x); the closure keeps f'(x)."""
        y, slope = self.value_and_slope(x)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            return dy * slope, {} if out is None else out

        return y, backward


class ReLU(Activation):
    """max(x, 0), with slope 0 at 0."""

    def write_value(self, x: Array, y: Array) -> None:
        """Write max(x, 0)."""
        np.maximum(x, 0, out=y)

    def write_value_and_slope(self, x: Array, y: Array, slope: Array) -> None:
        """Write max(x, 0) and (x > 0)."""
        np.maximum(x, 0, out=y)
        slope[...] = x > 0


class SiLU(Activation):
    """x · sigmoid(x), also called swish (Elfwing et al. 2018; Ramachandran et al. 2017)."""

    def write_value(self, x: Array, y: Array) -> None:
        """Write x · sigmoid(x)."""
        sigmoid_of_negative_(np.negative(x, out=y))
        y *= x

    def write_value_and_slope(self, x: Array, y: Array, slope: Array) -> None:
        """Write y = x s and s + y (1 - s), with s = sigmoid(x)."""
        s = sigmoid_of_negative_(-x)
        np.multiply(x, s, out=y)
        np.subtract(1, s, out=slope)
        slope *= y
        slope += s


class GELU(Activation):
    """x · Φ(x) in GPT-2's tanh form (Hendrycks and Gimpel 2016, section 2).

    0.5 x (1 + tanh u), with u = sqrt(2/π) (x + 0.044715 x³), which is x · sigmoid(2u).
    """

    _C = math.sqrt(2 / math.pi)

    def write_value(self, x: Array, y: Array) -> None:
        """Write x · sigmoid(2u)."""
        self._write_sigmoid(x, np.multiply(x, x, out=y), y)
        y *= x

    def write_value_and_slope(self, x: Array, y: Array, slope: Array) -> None:
        """Write y = x s and s + y (1 - s) 2u', with s = sigmoid(2u)."""
        x_squared = x * x
        s = np.empty_like(x)
        self._write_sigmoid(x, x_squared, s)
        np.multiply(x, s, out=y)
        x_squared *= 6 * self._C * 0.044715
        x_squared += 2 * self._C  # 2u' = 2c (1 + 3 · 0.044715 x²)
        np.subtract(1, s, out=slope)
        slope *= x_squared
        slope *= y
        slope += s

    def _write_sigmoid(self, x: Array, x_squared: Array, s: Array) -> None:
        """Write sigmoid(2u) into s."""
        np.multiply(x_squared, -2 * self._C * 0.044715, out=s)
        s -= 2 * self._C
        s *= x  # -2u
        sigmoid_of_negative_(s)


def sigmoid_of_negative_(z: Array) -> Array:
    """Turn z into sigmoid(-z) = 1 / (1 + exp(z)), in place.

    NumPy's ``exp`` takes half as long as its ``tanh``. Where it overflows, 1 / inf is the right 0.
    """
    with np.errstate(over="ignore"):
        np.exp(z, out=z)
    z += 1
    return np.reciprocal(z, out=z)
