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

from collections.abc import Iterator
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llm_explainer.tree import Tree, flatten

Array = NDArray[Any]


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


def gradients_like(module: Module, out: Tree | None) -> Tree:
    """Return ``out``, or where it is None new arrays nested like the module's parameters."""
    return empty_like(module.parameters()) if out is None else out


def empty_like(tree: Any) -> Any:
    """Return uninitialised arrays, nested as ``tree`` is."""
    if isinstance(tree, dict):
        return {key: empty_like(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [empty_like(value) for value in tree]
    return np.empty_like(tree)


def column_sums(rows: Array) -> Array:
    """Return the sum over the rows of (N, D) -> (D,).

    As a product with ones: BLAS runs it at memory speed, four times as fast as ``rows.sum(0)``.
    """
    sums: Array = np.ones(len(rows), rows.dtype) @ rows
    return sums
