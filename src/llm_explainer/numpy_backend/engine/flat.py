"""All trainable parameters of a model as views of one buffer.

The optimizer, clipping and the sum over shards then are a few operations on one long array
instead of a few on each of a hundred short ones.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import math
import mmap
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from llm_explainer.errors import ConfigError
from llm_explainer.numpy_backend.module import Array, Module
from llm_explainer.parameter_groups import DECAYED, Group
from llm_explainer.tree import Tree, flatten, unflatten


class Buffer(NamedTuple):
    """The same numbers twice: gradients, say, or an optimizer's running means."""

    flat: Array  # (size,)
    tree: Tree  # views of it, nested like what the model has trainable


class FlatParameters:
    """Moves what a model has trainable into one array, and keeps the model on it.

    Attributes:
        groups: the declared group of each parameter, by dotted name, in the order of the buffer:
            what weight decay shrinks comes first, and is its first ``n_decayed`` numbers.

    Raises:
        ConfigError: the whole model is frozen.
    """

    def __init__(self, model: Module) -> None:
        self._nested = model.trainable()
        arrays, groups = flatten(self._nested), flatten(model.groups())
        if not arrays:
            raise ConfigError("all parameters are frozen, so nothing can be trained; unfreeze some")
        names = sorted(arrays, key=lambda name: groups[name] not in DECAYED)  # a stable sort
        self.groups: dict[str, Group] = {name: groups[name] for name in names}
        self._shapes = {name: arrays[name].shape for name in names}
        self.n_decayed = sum(arrays[name].size for name in names if groups[name] in DECAYED)
        self.size = sum(array.size for array in arrays.values())
        self.values = shared_zeros(self.size, arrays[names[0]].dtype)
        model_views = self.tree(self.values)
        for name, view in flatten(model_views).items():
            view[...] = arrays[name]
        model.replace(model_views)

    def tree(self, flat: Array) -> Tree:
        """View ``flat`` (size,) as arrays nested like the model's trainable parameters."""
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

    def new_buffer(self) -> Buffer:
        """Return zeros, one for each number that is trainable."""
        flat = shared_zeros(self.size, self.values.dtype)
        return Buffer(flat, self.tree(flat))


def shared_zeros(size: int, dtype: DTypeLike) -> Array:
    """Return zeros (size,) in memory that forked processes share, at the start of a page.

    A page takes memory from when it is first written to.
    """
    dtype = np.dtype(dtype)
    return np.frombuffer(mmap.mmap(-1, max(1, size) * dtype.itemsize), dtype, size)
