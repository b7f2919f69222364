"""Linear, Embedding, LayerNorm, RMSNorm and Dropout, each with its backward pass.

Letters: I and O input and output dims, D = d_model, N = all rows (B·T), dz = dLoss/dz.
"""

from __future__ import annotations

import math

import numpy as np

from llm_explainer.init import Init
from llm_explainer.numpy_backend.module import (
    Array,
    Backward,
    Module,
    column_sums,
    gradients_like,
    long_lines,
)
from llm_explainer.tree import Tree

FEW_ROWS = 32
"""Up to so many rows, as when a batch of texts grows, BLAS should not get the weights on the right:
it copies what stands there into another order first, which then takes as long as the product."""


class Linear(Module):
    """y = x Wᵀ + b, with W (O, I) as in mlx.nn and PyTorch, so checkpoints never transpose."""

    def __init__(
        self, input_dims: int, output_dims: int, bias: bool = True, *, init: Init, scale: float = 1
    ) -> None:
        self.weight = long_lines(init((output_dims, input_dims), scale))  # (O, I)
        self.bias: Array | None = np.zeros(output_dims, np.float32) if bias else None  # (O,)

    def __call__(self, x: Array) -> Array:
        """Map (..., I) to (..., O)."""
        # One product over all rows: NumPy would run a batch of matrices as many small ones.
        rows, weight = x.reshape(-1, x.shape[-1]), self.weight
        y: Array
        if 1 < len(rows) <= FEW_ROWS and weight.shape[0] <= weight.shape[1]:
            y = (weight @ rows.T).T  # (O, I) @ (I, N) -> (O, N) -> (N, O)
        else:
            y = rows @ weight.T  # (N, I) @ (I, O) -> (N, O)
        if self.bias is not None:
            y += self.bias
        return y.reshape(*x.shape[:-1], -1)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Map (..., I) to (..., O); the closure keeps x."""

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            x_rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
            np.matmul(dy_rows.T, x_rows, out=grads["weight"])  # (O, N) @ (N, I) -> (O, I)
            if self.bias is not None:
                grads["bias"][...] = column_sums(dy_rows)  # b reached every row: sum over rows
            dx = dy_rows @ self.weight  # (N, O) @ (O, I) -> (N, I)
            return dx.reshape(x.shape), grads

        return self(x), backward


class Embedding(Module):
    """A table of vectors, one row for each id; its transpose serves as a tied output head."""

    def __init__(self, n_embeddings: int, dims: int, *, init: Init) -> None:
        self.weight: Array = init((n_embeddings, dims), 1)  # (V, D)

    def __call__(self, ids: Array) -> Array:
        """Look up ids of any shape: (...) -> (..., D). Ids must lie in [0, V)."""
        return self.weight[ids]

    def forward(self, ids: Array) -> tuple[Array, Backward]:
        """Look up ids; ids have no gradient, so the closure's first result is an empty array."""

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            grads["weight"].fill(0)
            self.add_gradient(ids, dy, grads["weight"])
            return np.empty(0, dy.dtype), grads

        return self(ids), backward

    @staticmethod
    def add_gradient(ids: Array, dy: Array, dweight: Array) -> None:
        """Add dy (..., D) to the rows of dweight (V, D) that ``ids`` looked up.

        An id that occurs twice gets both gradients, which ``dweight[ids] += dy`` would not do.
        ``np.add.at`` is five times as fast on single numbers as on rows.
        """
        dims = dweight.shape[1]
        numbers = ids.reshape(-1, 1) * dims + np.arange(dims)  # (N, D) positions in the flat table
        np.add.at(dweight.reshape(-1), numbers.reshape(-1), dy.reshape(-1))


class LayerNorm(Module):
    """y = (x - mean) / sqrt(variance + eps) · weight + bias, over the last axis.

    Ba, Kiros and Hinton 2016, section 3.
    """

    def __init__(self, dims: int, eps: float = 1e-5, bias: bool = True) -> None:
        self.weight: Array = np.ones(dims, np.float32)  # (D,)
        self.bias: Array | None = np.zeros(dims, np.float32) if bias else None  # (D,)
        self._eps = eps

    def __call__(self, x: Array) -> Array:
        """Normalise (..., D)."""
        rows = x.reshape(-1, x.shape[-1])
        x_hat = self._normalize(rows)[0] if len(rows) > 1 else self._normalize_one(rows)
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
            grads["weight"][...] = column_sums(dy_x_hat)
            if self.bias is not None:
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

    def _normalize_one(self, x: Array) -> Array:
        """Return one row of mean 0 and variance 1, (1, D).

        A decoded token is one row. Then it is the number of NumPy's calls that takes the time, and
        plain numbers take half as many as arrays that hold one number.
        """
        dims = x.shape[1]
        x_hat: Array = x - np.add.reduce(x[0]) / dims
        variance = np.dot(x_hat[0], x_hat[0]) / dims
        x_hat *= 1 / math.sqrt(variance + self._eps)
        return x_hat


class RMSNorm(Module):
    """y = x / sqrt(mean(x²) + eps) · weight, over the last axis (Zhang and Sennrich 2019)."""

    def __init__(self, dims: int, eps: float = 1e-5) -> None:
        self.weight: Array = np.ones(dims, np.float32)  # (D,)
        self._eps = eps

    def __call__(self, x: Array) -> Array:
        """Normalise (..., D)."""
        rows = x.reshape(-1, x.shape[-1])
        x_hat = self._normalize(rows)[0] if len(rows) > 1 else self._normalize_one(rows)
        x_hat *= self.weight
        return x_hat.reshape(x.shape)

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Normalise (..., D); the closure keeps the normalised rows, not x."""
        x_hat, inverse_rms = self._normalize(x.reshape(-1, x.shape[-1]))  # (N, D), (N, 1)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            dy_rows = dy.reshape(x_hat.shape)
            dy_x_hat = dy_rows * x_hat
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

    def _normalize_one(self, x: Array) -> Array:
        """Return one row of mean square 1, (1, D), in fewer calls: see LayerNorm."""
        mean_square = np.dot(x[0], x[0]) / x.shape[1]
        normalized: Array = x * (1 / math.sqrt(mean_square + self._eps))
        return normalized


class Dropout(Module):
    """Zero each number with probability ``rate`` and scale the rest by 1 / (1 - rate).

    Srivastava et al. 2014, in the inverted form that leaves inference alone. Without ``rng`` it is
    the identity; with it, the same generator state gives the same mask.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate

    def __call__(self, x: Array) -> Array:
        """Return x: inference drops nothing."""
        return x

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        """Drop from x of any shape; the closure keeps the mask."""
        mask = self.mask(x.shape, x.dtype, rng)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            return (dy if mask is None else dy * mask), {} if out is None else out

        return (x if mask is None else x * mask), backward

    def mask(
        self, shape: tuple[int, ...], dtype: np.dtype, rng: np.random.Generator | None
    ) -> Array | None:
        """Return an array of 0 and 1 / (1 - rate), or None where nothing is dropped."""
        if rng is None or self._rate == 0:
            return None
        keep = rng.random(shape, np.float32) >= self._rate
        return np.multiply(keep, 1 / (1 - self._rate), dtype=dtype)
