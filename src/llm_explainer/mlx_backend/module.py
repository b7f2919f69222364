"""The contract of a layer, as in ``numpy_backend/module.py``, kept by automatic differentiation.

    y = layer(x)                    inference
    y, backward = layer.forward(x)  the closure keeps x
    dx, grads = backward(dy)        dy = dLoss/dy, dx = dLoss/dx; grads nested like trainable()

``backward`` runs the layer again under ``mx.vjp``, which derives the gradients: it shows what a
layer's backward pass is and lets tests compare it with NumPy's. Training differentiates the whole
model in one go (``engine/train_step.py``). A layer computes the gradients that ``out`` has a place
for, and no others; a weight is read only by the layer that owns it. Two threads cannot
differentiate one module at the same time.

Arrays here are lazy: they are computed when something asks for their numbers.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol, Self

import mlx.core as mx
import numpy as np
from mlx.nn.layers.base import Module as MLXModule

from llm_explainer.parameter_groups import Group
from llm_explainer.tree import Tree, flatten, unflatten

Array = mx.array
Keys = str | list[str] | None
"""Attribute names of parameters, such as "bias"; None for all."""

Key = mx.array
"""What randomness comes from: ``mx.random.key(seed)``. The same key gives the same numbers."""


class Backward(Protocol):
    """The closure that ``forward`` returns beside its result."""

    def __call__(self, dy: Array, /, out: Tree | None = None) -> tuple[Array, Tree]:
        """Return (dLoss/dx, gradients of the parameters)."""
        ...


class Module(MLXModule):
    """A layer: its arrays are its parameters, its modules and lists of modules its children.

    Attributes whose name begins with an underscore are not parameters (tables, settings). MLX's own
    module finds the parameters, and is what the rest of MLX knows; this adds the contract.
    """

    n_freezes: ClassVar[int] = 0
    """How often anything was frozen or unfrozen: who relies on what is trainable looks again."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def parameters(self) -> Tree:
        """Return the parameters, nested by attribute name: the arrays themselves, no copies."""
        tree: Tree = super().parameters()  # type: ignore[no-untyped-call]
        return tree

    def freeze(self, *, recurse: bool = True, keys: Keys = None, strict: bool = False) -> Self:
        """Let parameters learn no more: all, or those of the attribute names ``keys``.

        ``recurse`` includes the children's; ``strict`` refuses a name that no layer has.

        Raises:
            KeyError: a name that none has.
        """
        super().freeze(recurse=recurse, keys=keys, strict=strict)
        Module.n_freezes += 1
        return self

    def unfreeze(self, *, recurse: bool = True, keys: Keys = None, strict: bool = False) -> Self:
        """Let parameters learn again; arguments and errors as for ``freeze``."""
        super().unfreeze(recurse=recurse, keys=keys, strict=strict)
        Module.n_freezes += 1
        return self

    def trainable(self) -> Tree:
        """Return the parameters that learn, nested like ``parameters()``, which it lacks leaves of.

        A layer of which nothing learns is an empty dict.
        """
        tree: Tree = self.trainable_parameters()  # type: ignore[no-untyped-call]
        return tree

    def groups(self) -> Tree:
        """Return the declared group of every parameter, nested like ``parameters()``."""
        tree: Tree = {}
        for name in self.parameters():
            value = self[name]
            if isinstance(value, Module):
                tree[name] = value.groups()
            elif isinstance(value, list):
                tree[name] = [module.groups() for module in value]
            else:
                tree[name] = self.group_of(name)
        return tree

    def group_of(self, name: str) -> Group:
        """Return the group of this layer's own parameter ``name``: every layer that has some says.

        Raises:
            NotImplementedError: it does not.
        """
        raise NotImplementedError(f"{type(self).__name__} does not declare the group of {name!r}")

    def forward(self, x: Array) -> tuple[Array, Backward]:
        """Return what the layer makes of x, and the backward pass."""
        return with_backward(self, self, x)

    def sharing(self) -> Self:
        """Return a copy of the module and of those inside it, with the same arrays in them.

        So layers of the copy can be replaced or frozen, and nothing happens to this one.
        """
        new = copy.copy(self)
        new._no_grad = set(self._no_grad)  # what is frozen
        for name, value in self.items():
            if isinstance(value, Module):
                new[name] = value.sharing()
            elif isinstance(value, list):
                new[name] = [module.sharing() for module in value]
        return new

    def replace(self, tree: Tree) -> None:
        """Make the arrays of ``tree``, which is nested like ``parameters()`` but need not have all
        of them, the parameters; no copies."""
        super().update(tree)

    def update(self, tree: Tree) -> None:  # type: ignore[override]
        """Copy the values of ``tree``, of MLX or NumPy, into the parameters.

        Raises:
            KeyError: a parameter is missing in ``tree``.
            ValueError: a shape differs.
        """
        self.update_each(flatten(tree).__getitem__)

    def update_each(self, read: Callable[[str], Any]) -> None:
        """Copy what ``read`` returns for its dotted name into each parameter, one after the other.

        So a file of weights is never in memory as a whole beside the model.

        Raises:
            ValueError: a shape differs.
        """
        for name, parameter in flatten(self.parameters()).items():
            value = read(name)
            if parameter.shape != tuple(value.shape):
                raise ValueError(f"{name}: {tuple(value.shape)} does not fit {parameter.shape}")
            *path, leaf = name.split(".")
            layer: Any = self
            for step in path:
                layer = layer[int(step)] if isinstance(layer, list) else layer[step]
            # In the order of the indices: the transposed view that a checkpoint may give would be
            # summed up in another order, and a resumed run would end a little elsewhere.
            layer[leaf] = mx.contiguous(mx.array(value, parameter.dtype))


def with_backward(
    module: Module, function: Callable[[Array], Array], x: Array
) -> tuple[Array, Backward]:
    """Return y = function(x) and its backward pass, to x and to what the module has trainable.

    Ids have no gradient: for them dx is an empty array.
    """
    is_smooth = mx.issubdtype(x.dtype, mx.floating)

    def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
        learning = module.trainable() if out is None else matching(module.parameters(), out)
        names, arrays = list(flatten(learning)), list(flatten(learning).values())

        def replay(*primals: Array) -> Array:
            values = dict(zip(names, primals, strict=False))  # x, where it is there, comes last
            with holding(module, unflatten(values, like=learning)):
                return function(primals[-1] if is_smooth else x)

        primals = [*arrays, x] if is_smooth else arrays
        _, gradients = mx.vjp(replay, primals, [dy]) if primals else ([], [])
        dx = gradients[-1] if is_smooth else mx.zeros(0)
        grads = unflatten(dict(zip(names, gradients, strict=False)), like=learning)
        return dx, write_into(out, grads)

    return function(x), backward


@contextmanager
def holding(module: Module, parameters: Tree) -> Iterator[None]:
    """Let the module compute with other parameters, some or all: those MLX differentiates by."""
    own = module.parameters()
    module.replace(parameters)
    try:
        yield
    finally:
        module.replace(own)


def matching(parameters: Tree, places: Tree) -> Tree:
    """Return those parameters for which ``places`` has a leaf, nested like it."""
    arrays = flatten(parameters)
    return unflatten({name: arrays[name] for name in flatten(places)}, like=places)


def write_into(out: Tree | None, grads: Tree) -> Tree:
    """Return ``grads``, or ``out`` with their values in its arrays where it is given."""
    if out is None:
        return grads
    values = flatten(grads)
    for name, array in flatten(out).items():
        array[...] = values[name]
    return out


def split_key(key: Key | None, n: int) -> list[Key | None]:
    """Return ``n`` keys made of one, or as many times None."""
    return [None] * n if key is None else list(mx.random.split(key, n))


def as_array(values: Any) -> Array:
    """Return numbers as this backend's layers take them: ids as integers, all else as float32."""
    if np.issubdtype(np.asarray(values).dtype, np.integer):
        return as_ids(values)
    return mx.array(values, mx.float32)


def as_ids(tokens: Any) -> Array:
    """Return ids, of MLX or NumPy, as int32."""
    return tokens if isinstance(tokens, mx.array) else mx.array(np.asarray(tokens, np.int32))
