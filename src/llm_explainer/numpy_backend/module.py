"""The contract of a layer, and where its parameters are found.

    y = layer(x)                    inference
    y, backward = layer.forward(x)  the closure keeps what the backward pass needs
    dx, grads = backward(dy)        dy = dLoss/dy, dx = dLoss/dx; grads nested like trainable()

A forward pass leaves nothing in the layer: a second one disturbs nothing, and two threads can run
it at once. Neither pass writes into the arrays it was given, and both return arrays of their own,
which the caller may write into. A closure reads the parameters when it is called, so update them
after ``backward``, not before.

``backward(dy, out=grads)`` writes into arrays that the caller owns, in whatever memory order. *A
layer computes the gradients that ``out`` has a place for, and no others*; without ``out``, those of
what is trainable. And a weight is read only by the layer that owns it, so that any layer can be
replaced by another that keeps this contract.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from llm_explainer.parameter_groups import Group
from llm_explainer.tree import Tree, flatten

Array = NDArray[Any]

Keys = str | Sequence[str] | None
"""Attribute names of parameters, such as "bias"; None for all."""


class Backward(Protocol):
    """The closure that ``forward`` returns beside its result."""

    def __call__(self, dy: Array, /, out: Tree | None = None) -> tuple[Array, Tree]:
        """Return (dLoss/dx, gradients of the parameters)."""
        ...


class Module:
    """A layer: its arrays are its parameters, its modules and lists of modules its children.

    Attributes whose name begins with an underscore are not parameters (tables, settings).
    """

    _frozen: frozenset[str] = frozenset()
    n_freezes: ClassVar[int] = 0
    """How often anything was frozen or unfrozen: who relies on what is trainable looks again."""

    def parameters(self) -> Tree:
        """Return the parameters, nested by attribute name: the arrays themselves, no copies."""
        return self._collect(lambda module, name, array: array)

    def trainable(self) -> Tree:
        """Return the parameters that learn, nested like ``parameters()``, which it lacks leaves of.

        A layer of which nothing learns is an empty dict.
        """
        return self._collect(lambda module, name, array: None if name in module._frozen else array)

    def groups(self) -> Tree:
        """Return the declared group of every parameter, nested like ``parameters()``."""
        return self._collect(lambda module, name, array: module.group_of(name))

    def group_of(self, name: str) -> Group:
        """Return the group of this layer's own parameter ``name``: every layer that has some says.

        Raises:
            NotImplementedError: it does not.
        """
        raise NotImplementedError(f"{type(self).__name__} does not declare the group of {name!r}")

    def freeze(self, *, recurse: bool = True, keys: Keys = None, strict: bool = False) -> Self:
        """Let parameters learn no more: all, or those of the attribute names ``keys``.

        ``recurse`` includes the children's; ``strict`` refuses a name that no layer has. The same
        call works on MLX's modules, which have it from MLX.

        Raises:
            KeyError: a name that none has.
        """
        for module, own in self._own_parameters(recurse, keys, strict):
            module._frozen |= own
        Module.n_freezes += 1
        return self

    def unfreeze(self, *, recurse: bool = True, keys: Keys = None, strict: bool = False) -> Self:
        """Let parameters learn again; arguments and errors as for ``freeze``."""
        for module, own in self._own_parameters(recurse, keys, strict):
            module._frozen -= own
        Module.n_freezes += 1
        return self

    def sharing(self) -> Self:
        """Return a copy of the module and of those inside it, with the same arrays in them.

        So layers of the copy can be replaced or frozen, and nothing happens to this one.
        """
        new = copy.copy(self)
        for name, value in self._children():
            if isinstance(value, Module):
                setattr(new, name, value.sharing())
            elif isinstance(value, list):
                setattr(new, name, [module.sharing() for module in value])
        return new

    def replace(self, tree: Tree) -> None:
        """Make the arrays of ``tree``, which is nested like ``parameters()`` but need not have all
        of them, the parameters; no copies."""
        for name, value in tree.items():
            child = getattr(self, name)
            if isinstance(child, Module):
                child.replace(value)
            elif isinstance(child, list):
                for module, subtree in zip(child, value, strict=True):
                    module.replace(subtree)
            else:
                setattr(self, name, value)

    def update(self, tree: Tree) -> None:
        """Copy the values of ``tree`` into the parameters, in place.

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
            if parameter.shape != np.shape(value):
                raise ValueError(f"{name}: {np.shape(value)} does not fit {parameter.shape}")
            parameter[...] = value

    def astype(self, dtype: DTypeLike) -> Self:
        """Convert the parameters, in place; float64 is for gradient checks. Returns the module."""
        for module in self._modules():
            module.convert(dtype)
        return self

    def convert(self, dtype: DTypeLike) -> None:
        """Convert this layer's own arrays, in place; its children are asked themselves."""
        for name, value in list(self._children()):
            if isinstance(value, np.ndarray):
                setattr(self, name, value.astype(dtype))

    def _collect(self, leaf: Callable[[Module, str, Array], Any]) -> Tree:
        """Return what ``leaf(module, name, array)`` says of every parameter, but for None."""
        tree: Tree = {}
        for name, value in self._children():
            if isinstance(value, Module):
                tree[name] = value._collect(leaf)
            elif isinstance(value, list):
                tree[name] = [module._collect(leaf) for module in value]
            elif (found := leaf(self, name, value)) is not None:
                tree[name] = found
        return tree

    def _own_parameters(
        self, recurse: bool, keys: Keys, strict: bool
    ) -> list[tuple[Module, set[str]]]:
        """Return modules, each with the names of its own parameters, of those in ``keys``."""
        wanted = None if keys is None else {keys} if isinstance(keys, str) else set(keys)
        found = []
        for module in self._modules() if recurse else (self,):
            own = {name for name, value in module._children() if isinstance(value, np.ndarray)}
            found.append((module, own if wanted is None else own & wanted))
        if strict and wanted is not None and (unknown := wanted.difference(*(o for _, o in found))):
            raise KeyError(f"no layer has a parameter {min(unknown)!r}")
        return found

    def _modules(self) -> Iterator[Module]:
        """Yield this module and all those inside it."""
        yield self
        for _, value in self._children():
            for module in value if isinstance(value, list) else [value]:
                if isinstance(module, Module):
                    yield from module._modules()

    def _children(self) -> Iterator[tuple[str, Any]]:
        for name, value in vars(self).items():
            if name.startswith("_"):
                continue
            if isinstance(value, (Module, list, np.ndarray)):
                yield name, value
            elif callable(value) and not hasattr(type(self), name):  # no method, replaced or not
                raise TypeError(
                    f"{type(self).__name__}.{name} is called like a layer but is no Module, so its "
                    "parameters would be lost; derive it from Module"
                )


def as_array(values: Any) -> Array:
    """Return numbers as this backend's layers take them: ids as integers, all else as float32."""
    array = np.asarray(values)
    return array if np.issubdtype(array.dtype, np.integer) else array.astype(np.float32)


def gradients_like(module: Module, out: Tree | None) -> Tree:
    """Return ``out``, or where it is None new arrays nested like what the module has trainable."""
    return empty_like(module.trainable()) if out is None else out


def place_for(child: str, out: Tree) -> Tree:
    """Return where in ``out`` the gradients of a child go: nowhere, if it has no place for them."""
    place: Tree = out.get(child, {})
    return place


def empty_like(tree: Any) -> Any:
    """Return uninitialised arrays, nested as ``tree`` is."""
    if isinstance(tree, dict):
        return {key: empty_like(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [empty_like(value) for value in tree]
    return np.empty_like(tree, order="C")
