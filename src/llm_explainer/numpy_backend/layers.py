"""Linear, Embedding and Dropout, each with its backward pass.

Letters: I and O input and output dims, D = d_model, N = all rows (B·T), dz = dLoss/dz.

Explained in ``Tutorial/02 - Embeddings.md``.
"""

from __future__ import annotations

from typing import Self

import numpy as np

from llm_explainer.init import Init
from llm_explainer.numpy_backend.kernels import (
    add_to_rows,
    column_sums,
    long_lines,
    times_transposed,
)
from llm_explainer.numpy_backend.module import Array, Backward, Module, gradients_like
from llm_explainer.parameter_groups import Group
from llm_explainer.tree import Tree


class Linear(Module):
    """y = x Wᵀ + b, with W (O, I) as in mlx.nn and PyTorch, so checkpoints never transpose."""

    def __init__(
        self,
        input_dims: int,
        output_dims: int,
        bias: bool = True,
        *,
        init: Init,
        scale: float = 1,
        group: Group = "matrix",
    ) -> None:
        self.weight = long_lines(init((output_dims, input_dims), scale))  # (O, I)
        self.bias: Array | None = np.zeros(output_dims, np.float32) if bias else None  # (O,)
        self._group: Group = group

    @classmethod
    def of(cls, weight: Array, bias: Array | None, group: Group) -> Self:
        """Return a layer of these very arrays, (O, I) and (O,)."""
        layer = cls.__new__(cls)
        layer.weight, layer.bias, layer._group = weight, bias, group
        return layer

    def group_of(self, name: str) -> Group:
        """Return the weight's group, as it was given; a bias is a vector."""
        return self._group if name == "weight" else "vector"

    def __call__(self, x: Array) -> Array:
        """Map (..., I) to (..., O)."""
        # One product over all rows: NumPy would run a batch of matrices as many small ones.
        y = times_transposed(x.reshape(-1, x.shape[-1]), self.weight)  # (N, O)
        if self.bias is not None:
            y += self.bias
        return y.reshape(*x.shape[:-1], -1)

    def write(self, x: Array, y: Array) -> None:
        """Write what x (N, I) is mapped to into y (N, O)."""
        times_transposed(x, self.weight, out=y)
        if self.bias is not None:
            y += self.bias

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        """Map (..., I) to (..., O); the closure keeps x. Only an adapter drops with ``rng``."""
        return self(x), self.backward_of(x)

    def backward_of(self, x: Array) -> Backward:
        """Return the backward pass of ``self(x)``, which needs x (..., I) and not the result.

        So who maps x a few rows at a time can ask for all gradients at once.
        """

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            x_rows, dy_rows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
            if "weight" in grads:
                np.matmul(dy_rows.T, x_rows, out=grads["weight"])  # (O, N) @ (N, I) -> (O, I)
            if "bias" in grads:
                grads["bias"][...] = column_sums(dy_rows)  # b reached every row: sum over rows
            dx = dy_rows @ self.weight  # (N, O) @ (O, I) -> (N, I)
            return dx.reshape(x.shape), grads

        return backward


class Embedding(Module):
    """A table of vectors, one row for each id; its transpose serves as a tied output head.

    ``is_head`` says that it will: the table is then stored as that product likes it.
    """

    def __init__(self, n_embeddings: int, dims: int, *, init: Init, is_head: bool = False) -> None:
        table = init((n_embeddings, dims), 1)
        self.weight: Array = long_lines(table) if is_head else table  # (V, D)

    def group_of(self, name: str) -> Group:
        """Return "table"."""
        return "table"

    def __call__(self, ids: Array) -> Array:
        """Look up ids of any shape: (...) -> (..., D). Ids must lie in [0, V)."""
        return self.weight[ids]

    def forward(self, ids: Array) -> tuple[Array, Backward]:
        """Look up ids; ids have no gradient, so the closure's first result is an empty array."""

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            if "weight" in grads:
                grads["weight"].fill(0)
                self.add_gradients(ids, dy, grads)
            return np.empty(0, dy.dtype), grads

        return self(ids), backward

    @staticmethod
    def add_gradients(ids: Array, dy: Array, grads: Tree) -> None:
        """Add the gradients of looking up ``ids``, from dy (..., D), to those that are there.

        A table that is the head too gets both.
        """
        if "weight" in grads:
            add_to_rows(grads["weight"], ids, dy)

    def as_linear(self) -> Linear:
        """Return the head that shares this table: (..., D) -> (..., V)."""
        layer = Linear.of(self.weight, None, "table")
        layer._frozen = self._frozen
        return layer


class Dropout(Module):
    """Zero each number with probability ``rate`` and scale the rest by 1 / (1 - rate).

    Srivastava et al. 2014, in the inverted form that leaves inference alone. Without ``rng`` it is
    the identity; with it, the same generator state gives the same mask. A model drops in four
    places: from the embeddings (``model.py``), from the attention weights (``attention.py``), and
    from what attention and the feed-forward network add to the stream (``block.py``).
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
