"""LayerNorm and RMSNorm, each with its backward pass, and which of them a config names.

Letters: D = d_model, N = all rows (B·T), dz = dLoss/dz; x̂ is x normalised.

Explained in ``Tutorial/06 - TransformerBlock.md``.
"""

from __future__ import annotations

import math

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.numpy_backend.kernels import FEW_ROWS, are_apart, column_sums
from llm_explainer.numpy_backend.module import Array, Backward, Module, gradients_like
from llm_explainer.parameter_groups import Group
from llm_explainer.tree import Tree


def make_norm(config: ModelConfig) -> LayerNorm | RMSNorm:
    """Return the normalisation that the config names."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.d_model, config.norm_eps)
    return LayerNorm(config.d_model, config.norm_eps, config.bias)


def make_head_norm(config: ModelConfig) -> RMSNorm | None:
    """Return what norms every query, or every key, if the config has it so: over a head's width."""
    return RMSNorm(config.head_dim, config.norm_eps) if config.qk_norm else None


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) · weight + bias, over the last axis.

    Ba, Kiros and Hinton 2016, section 3.
    """

    def __init__(self, dims: int, eps: float = 1e-5, bias: bool = True) -> None:
        self.weight: Array = np.ones(dims, np.float32)  # (D,)
        self.bias: Array | None = np.zeros(dims, np.float32) if bias else None  # (D,)
        self._eps = eps

    def group_of(self, name: str) -> Group:
        """Return "vector"."""
        return "vector"

    def __call__(self, x: Array) -> Array:
        """Normalise (..., D)."""
        rows = x.reshape(-1, x.shape[-1])
        x_hat = self._normalize_few(rows) if are_few(rows) else self._normalize(rows)[0]
        x_hat *= self.weight
        if self.bias is not None:
            x_hat += self.bias
        return x_hat.reshape(x.shape)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Normalise (..., D); the closure keeps the normalised rows, not x."""
        x_hat, inverse_std = self._normalize(x.reshape(-1, x.shape[-1]))  # (N, D), (N, 1)
        y = x_hat * self.weight
        if self.bias is not None:
            y += self.bias

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dy_rows = dy.reshape(x_hat.shape)
            dy_x_hat = dy_rows * x_hat
            if "weight" in grads:
                grads["weight"][...] = column_sums(dy_x_hat)
            if "bias" in grads:
                grads["bias"][...] = column_sums(dy_rows)
            # dx = (dx̂ - mean(dx̂) - x̂ · mean(dx̂ · x̂)) / std, with dx̂ = dy · weight. Both means
            # are products with weight / D, which spares the pass that would make dx̂ · x̂.
            mean_of = self.weight / len(self.weight)  # (D,)
            mean_dx_hat = (dy_rows @ mean_of)[:, None]  # (N, 1)
            mean_dx_hat_x_hat = (dy_x_hat @ mean_of)[:, None]  # (N, 1)
            dx = np.multiply(x_hat, mean_dx_hat_x_hat, out=dy_x_hat)
            np.subtract(dy_rows * self.weight, dx, out=dx)
            dx -= mean_dx_hat
            dx *= inverse_std
            return dx.reshape(dy.shape), grads

        return y.reshape(x.shape), backward

    def _normalize(self, x: Array) -> tuple[Array, Array]:
        """Return rows of mean 0 and variance 1, (N, D), and 1 / std, (N, 1)."""
        dims = x.shape[1]
        mean = x @ np.full(dims, 1 / dims, x.dtype)  # (N,); a product, as in column_sums
        x_hat = x - mean[:, None]
        inverse_std = 1 / np.sqrt(np.vecdot(x_hat, x_hat) / dims + self._eps)  # (N,)
        x_hat *= inverse_std[:, None]
        return x_hat, inverse_std[:, None]

    def _normalize_few(self, x: Array) -> Array:
        """Return rows of mean 0 and variance 1, (N, D), each the same however many there are.

        A decoded token is one row. Then it is the number of NumPy's calls that takes the time, and
        plain numbers take half as many as arrays that hold one number.
        """
        dims = x.shape[1]
        x_hat: Array
        if len(x) == 1:
            x_hat = x - np.add.reduce(x[0]) / dims
            x_hat *= inverse_root(np.dot(x_hat[0], x_hat[0]) / dims + self._eps)
        else:
            x_hat = x - np.add.reduce(x, axis=1, keepdims=True) / dims
            x_hat *= inverse_roots(np.vecdot(x_hat, x_hat) / dims + self._eps)
        return x_hat


class RMSNorm(Module):
    """y = x / sqrt(mean(x²) + eps) · weight, over the last axis (Zhang and Sennrich 2019)."""

    def __init__(self, dims: int, eps: float = 1e-5) -> None:
        self.weight: Array = np.ones(dims, np.float32)  # (D,)
        self._eps = eps

    def group_of(self, name: str) -> Group:
        """Return "vector"."""
        return "vector"

    def __call__(self, x: Array) -> Array:
        """Normalise (..., D)."""
        rows = x.reshape(-1, x.shape[-1])
        x_hat = self._normalize_few(rows) if are_few(rows) else self._normalize(rows)[0]
        x_hat *= self.weight
        return x_hat.reshape(x.shape)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Normalise (..., D); the closure keeps the normalised rows, not x."""
        x_hat, inverse_rms = self._normalize(x.reshape(-1, x.shape[-1]))  # (N, D), (N, 1)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dy_rows = dy.reshape(x_hat.shape)
            dy_x_hat = dy_rows * x_hat
            if "weight" in grads:
                grads["weight"][...] = column_sums(dy_x_hat)
            # dx = (dx̂ - x̂ · mean(dx̂ · x̂)) / rms, with dx̂ = dy · weight: LayerNorm's, less the
            # term that came from subtracting the mean.
            mean_dx_hat_x_hat = (dy_x_hat @ (self.weight / len(self.weight)))[:, None]  # (N, 1)
            dx = np.multiply(x_hat, mean_dx_hat_x_hat, out=dy_x_hat)
            np.subtract(dy_rows * self.weight, dx, out=dx)
            dx *= inverse_rms
            return dx.reshape(dy.shape), grads

        return (x_hat * self.weight).reshape(x.shape), backward

    def _normalize(self, x: Array) -> tuple[Array, Array]:
        """Return rows of mean square 1, (N, D), and 1 / rms, (N, 1)."""
        inverse_rms = 1 / np.sqrt(np.vecdot(x, x) / x.shape[1] + self._eps)  # (N,)
        return x * inverse_rms[:, None], inverse_rms[:, None]

    def _normalize_few(self, x: Array) -> Array:
        """Return rows of mean square 1, (N, D), in fewer calls where it is one: see LayerNorm."""
        dims = x.shape[1]
        if len(x) == 1:
            return x * inverse_root(np.dot(x[0], x[0]) / dims + self._eps)
        return x * inverse_roots(np.vecdot(x, x) / dims + self._eps)


def are_few(rows: Array) -> bool:
    """Return whether rows (N, D) are those of tokens that are being decoded."""
    return len(rows) <= FEW_ROWS or are_apart()


def inverse_root(number: float) -> float:
    """Return 1 / sqrt(number), for float32 worked out in float64."""
    return 1 / math.sqrt(number)


def inverse_roots(numbers: Array) -> Array:
    """Return what ``inverse_root`` gives for each of (N,), to the last bit, as a column (N, 1)."""
    return (1 / np.sqrt(numbers, dtype=np.float64)).astype(numbers.dtype)[:, None]
