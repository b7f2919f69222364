"""What all functions share: the types of their backward passes, and how results are recorded.

A function that has intermediate results worth seeing takes ``record``, and calls it with a name and
the array as each is made. Its backward pass takes another one, and calls it with the same names in
the opposite order, with the gradient of the loss with respect to each. The caller puts its own name
for the function before those names (``under``).

The forward pass hands over the very array that it goes on with. So a callback that changes a number
in it changes all that follows, which answers "what if this weight were 0?". To keep the array as
it is now, copy it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tree import Tree, flatten, unflatten

Array = NDArray[Any]
Record = Callable[[str, Array], object]
Function = tuple[Array, Callable[[Array], Array]]  # y and backward(dy) -> dx
Functions = tuple[Array, Callable[..., tuple[Array, ...]]]  # of several arrays: dx1, dx2, ...
Layer = tuple[Array, Callable[..., tuple[Array, Tree]]]  # y and backward(dy) -> dx, grads
Loss = tuple[float, Callable[[], Array]]  # loss and backward() -> dlogits
Lookup = tuple[Array, Callable[..., Tree]]  # y and backward(dy) -> grads, where ids go in


def ignore(name: str, array: Array) -> None:
    """Record nothing."""


def under(record: Record, prefix: str) -> Record:
    """Return a ``record`` that puts ``prefix`` and a dot before every name.

    >>> under(print, "blocks.0")("attention_norm", [1, 2])
    blocks.0.attention_norm [1, 2]
    """
    return lambda name, array: record(f"{prefix}.{name}", array)


def rows(x: Array) -> Array:
    """View (..., D) as a matrix with one row for each token.

    >>> rows(np.zeros((2, 3, 4))).shape
    (6, 4)
    """
    return x.reshape(-1, x.shape[-1])


def as_numpy(parameters: Tree) -> Tree:
    """Return the parameters of any backend as NumPy arrays, nested as they are.

    >>> as_numpy({"blocks": [{"weight": range(3)}]})
    {'blocks': [{'weight': array([0, 1, 2])}]}
    """
    arrays = {name: np.asarray(array) for name, array in flatten(parameters).items()}
    return unflatten(arrays, like=parameters)
