"""The contract of a layer, and where its parameters are found.

    y = layer(x)                    inference
    y, backward = layer.forward(x)  the closure keeps what the backward pass needs
    dx, grads = backward(dy)        dy = dLoss/dy, dx = dLoss/dx; grads nested like parameters()

A forward pass leaves nothing in the layer: a second one disturbs nothing, and two threads can run
it at once. ``backward(dy, out=grads)`` writes into arrays that the caller owns. Neither pass writes
into the arrays it was given. A closure reads the parameters when it is called, so update them after
``backward``, not before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llm_explainer.tree import Tree, flatten

Array = NDArray[Any]

BLOCK = 1 << 16
"""Numbers worked through at a time, 256 KB: the few arrays of a chain fit a core's own cache."""

SAFE_EXPONENT = 60.0
"""exp of it, summed over any vocabulary, is finite in float32, and exp(-60) is not 0."""


class Backward(Protocol):
    """The closure that ``forward`` returns beside its result."""

    def __call__(self, dy: Array, /, out: Tree | None = None) -> tuple[Array, Tree]:
        """Return (dLoss/dx, gradients of the parameters)."""
        ...


class Module:
    """A layer: its arrays are its parameters, its modules and lists of modules its children.

    Attributes whose name begins with an underscore are not parameters (tables, settings).
    """

    def parameters(self) -> Tree:
        """Return the parameters, nested by attribute name: the arrays themselves, no copies."""
        tree: Tree = {}
        for name, value in self._children():
            if isinstance(value, Module):
                tree[name] = value.parameters()
            elif isinstance(value, list):
                tree[name] = [module.parameters() for module in value]
            else:
                tree[name] = value
        return tree

    def replace(self, tree: Tree) -> None:
        """Make the arrays of ``tree``, nested like ``parameters()``, the parameters; no copies."""
        for name, value in self._children():
            if isinstance(value, Module):
                value.replace(tree[name])
            elif isinstance(value, list):
                for module, subtree in zip(value, tree[name], strict=True):
                    module.replace(subtree)
            else:
                setattr(self, name, tree[name])

    def update(self, tree: Tree) -> None:
        """Copy the values of ``tree`` into the parameters, in place.

        Raises:
            KeyError: a parameter is missing in ``tree``.
            ValueError: a shape differs.
        """
        values = flatten(tree)
        for name, parameter in flatten(self.parameters()).items():
            if parameter.shape != np.shape(values[name]):
                raise ValueError(f"{name}: {np.shape(values[name])} does not fit {parameter.shape}")
            parameter[...] = values[name]

    def astype(self, dtype: DTypeLike) -> Self:
        """Convert the parameters, in place; float64 is for gradient checks. Returns the module."""
        for name, value in self._children():
            if isinstance(value, Module):
                value.astype(dtype)
            elif isinstance(value, list):
                for module in value:
                    module.astype(dtype)
            else:
                setattr(self, name, value.astype(dtype))
        return self

    def _children(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            if not name.startswith("_") and isinstance(value, (Module, list, np.ndarray)):
                yield name, value


def as_array(values: Any) -> Array:
    """Return numbers as this backend's layers take them: ids as integers, all else as float32."""
    array = np.asarray(values)
    return array if np.issubdtype(array.dtype, np.integer) else array.astype(np.float32)


def gradients_like(module: Module, out: Tree | None) -> Tree:
    """Return ``out``, or where it is None new arrays nested like the module's parameters."""
    return empty_like(module.parameters()) if out is None else out


def empty_like(tree: Any) -> Any:
    """Return uninitialised arrays, nested as ``tree`` is."""
    if isinstance(tree, dict):
        return {key: empty_like(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [empty_like(value) for value in tree]
    return np.empty_like(tree, order="C")  # Embedding.add_gradient writes through a flat view


def column_sums(rows: Array) -> Array:
    """Return the sum over the rows of (N, D) -> (D,).

    As a product with ones: BLAS runs it at memory speed, four times as fast as ``rows.sum(0)``.
    """
    sums: Array = np.ones(len(rows), rows.dtype) @ rows
    return sums


def row_blocks(array: Array) -> Iterator[slice]:
    """Yield the rows (first axis) of an array a few at a time, ``BLOCK`` numbers or one row.

    A chain of operations over a long array fetches it from memory for each of them. Block by block,
    only the first one does: the others find the block in the processor's cache.
    """
    n_rows = len(array)
    step = max(1, BLOCK * n_rows // max(1, array.size))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def products_are_small(a: Array, b: Array) -> bool:
    """Whether every dot product of a row of a with a row of b is small.

    None is larger than the product of the longest rows (Cauchy-Schwarz). Below 60, exp and sums of
    it are far from overflow and from 0, so a softmax needs not subtract each row's maximum, which
    would take half as long as the exponentials.
    """
    longest: float = np.vecdot(a, a).max() * np.vecdot(b, b).max()
    return math.sqrt(longest) < SAFE_EXPONENT if math.isfinite(longest) else False


def long_lines(matrix: Array) -> Array:
    """Return a matrix (O, I) stored along its longer side: by columns where O > I.

    To decode a token is to read every weight once, and processors read ahead along a line of memory
    but not to the next. At GPT-2's width this is 15 % of the time of a token.
    """
    return np.asfortranarray(matrix) if matrix.shape[0] > matrix.shape[1] else matrix
