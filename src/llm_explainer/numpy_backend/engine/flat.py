"""All parameters of a model as views of one buffer.

The optimizer, clipping and the sum over shards then are a few operations on one long array
instead of a few on each of a hundred short ones.
"""

from __future__ import annotations

import math
import mmap

import numpy as np
from numpy.typing import DTypeLike

from llm_explainer.numpy_backend.module import Array, Module
from llm_explainer.tree import Tree, flatten, unflatten


class FlatParameters:
    """Moves a model's parameters into one array, matrices first, and keeps the model on it.

    Weight decay shrinks matrices (embeddings included) but not biases and norm weights, so the
    first ``n_decayed`` numbers are those it touches.
    """

    def __init__(self, model: Module) -> None:
        self._nested = model.parameters()
        arrays = flatten(self._nested)
        matrices = {name: array for name, array in arrays.items() if array.ndim >= 2}
        vectors = {name: array for name, array in arrays.items() if array.ndim < 2}
        self._shapes = {name: array.shape for name, array in {**matrices, **vectors}.items()}
        self.n_decayed = sum(array.size for array in matrices.values())
        self.size = sum(array.size for array in arrays.values())
        dtype = next(iter(arrays.values())).dtype
        self.values = shared_zeros(self.size, dtype)
        model_views = self.tree(self.values)
        for name, view in flatten(model_views).items():
            view[...] = arrays[name]
        model.replace(model_views)

    def tree(self, flat: Array) -> Tree:
        """View ``flat`` (size,) as arrays nested like the model's parameters."""
        views = {name: flat[span].reshape(shape) for name, (span, shape) in self.spans().items()}
        return unflatten(views, like=self._nested)

    def spans(self) -> dict[str, tuple[slice, tuple[int, ...]]]:
        """Return where in the buffer each parameter lies, and its shape."""
        spans, start = {}, 0
        for name, shape in self._shapes.items():
            stop = start + math.prod(shape)
            spans[name] = slice(start, stop), shape
            start = stop
        return spans

    def new_tree(self) -> tuple[Array, Tree]:
        """Return a new buffer of zeros and its view nested like the parameters."""
        flat = shared_zeros(self.size, self.values.dtype)
        return flat, self.tree(flat)


def shared_zeros(size: int, dtype: DTypeLike) -> Array:
    """Return zeros (size,) in memory that forked processes share, at the start of a page.

    A page takes memory from when it is first written to.
    """
    dtype = np.dtype(dtype)
    return np.frombuffer(mmap.mmap(-1, max(1, size) * dtype.itemsize), dtype, size)
