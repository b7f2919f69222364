"""AdamW and SGD, parameter by parameter.

MLX fuses the few operations on each array, so no flat buffer is needed. ``update`` is for a nested
tree of gradients; a training step calls ``apply`` inside the function that it compiles.

Explained in ``Tutorial/08 - Training.md``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from numpy.typing import NDArray

from llm_explainer.errors import ConfigError
from llm_explainer.mlx_backend.module import Array, Module
from llm_explainer.parameter_groups import DECAYED, Group
from llm_explainer.tree import Tree, flatten, unflatten


class Optimizer(ABC):
    """Changes a model's trainable parameters along their gradients; saved with a checkpoint.

    Raises:
        ConfigError: the whole model is frozen.
    """

    def __init__(self, model: Module, *, weight_decay: float = 0.0) -> None:
        self.model, self.weight_decay = model, weight_decay
        self.steps = 0  # updates done so far
        self.groups: dict[str, Group] = flatten(model.groups())  # by dotted name
        trainable = model.trainable()
        if not flatten(trainable):
            raise ConfigError("all parameters are frozen, so nothing can be trained; unfreeze some")
        self.names = frozenset(flatten(trainable))  # of the parameters that it updates
        self.arrays: dict[str, Tree] = {
            name: tree_map(mx.zeros_like, trainable) for name in self.state_names
        }

    @property
    @abstractmethod
    def state_names(self) -> tuple[str, ...]:
        """Name each state array, as checkpoints do."""

    @abstractmethod
    def rates(self, learning_rate: float) -> Array:
        """Return the numbers that differ from step to step; the learning rate is the first."""

    @abstractmethod
    def change(
        self, name: str, gradient: Array, state: list[Array], rates: Array
    ) -> tuple[Array, ...]:
        """Return what to subtract from the parameter of this name, and its new state."""

    def update(self, grads: Tree, learning_rate: float) -> None:
        """Update what is trainable with its gradients, nested like ``model.trainable()``."""
        self.apply(tree_map(mx.array, grads), self.rates(learning_rate))
        self.steps += 1

    def apply(self, grads: Tree, rates: Array, where: bool | Array = True) -> None:
        """Update parameters and state ``where`` this is true; the caller adds 1 to ``steps``."""
        parameters = self.model.trainable()
        states = {name: flatten(tree) for name, tree in self.arrays.items()}
        updated: dict[str, Array] = {}
        gradients = flatten(grads)
        for name, p in flatten(parameters).items():
            state = [arrays[name] for arrays in states.values()]
            move, *new_state = self.change(name, gradients[name], state, rates)
            decay = self.weight_decay if self.groups[name] in DECAYED else 0.0
            updated[name] = mx.where(where, p * (1 - rates[0] * decay) - move, p)
            for arrays, old, new in zip(states.values(), state, new_state, strict=True):
                arrays[name] = mx.where(where, new, old)
        self.model.replace(unflatten(updated, like=parameters))
        for name, arrays in states.items():
            self.arrays[name] = unflatten(arrays, like=parameters)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the state arrays under dotted names, such as ``m.blocks.0...``."""
        return {name: np.asarray(array) for name, array in flatten(self.arrays).items()}

    def load_state(self, steps: int, state: dict[str, NDArray[Any]]) -> None:
        """Take over what ``steps`` and ``state()`` were, on this backend or the other; copied in.

        Raises:
            KeyError: an array is missing.
            ValueError: a shape differs.
        """
        arrays = flatten(self.arrays)
        for name, array in arrays.items():
            if name not in state:
                raise KeyError(f"optimizer state {name} is missing")
            if tuple(state[name].shape) != array.shape:
                raise ValueError(
                    f"optimizer state {name}: {state[name].shape} does not fit {array.shape}"
                )
        loaded = {name: mx.array(state[name], array.dtype) for name, array in arrays.items()}
        self.arrays.update(unflatten(loaded, like=self.arrays))
        self.steps = steps


class AdamW(Optimizer):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    m = β1 m + (1 - β1) g;  v = β2 v + (1 - β2) g²;
    p = p - lr · (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + eps) - lr · weight_decay · p.
    """

    def __init__(
        self,
        model: Module,
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
    ) -> None:
        super().__init__(model, weight_decay=weight_decay)
        self.betas, self.eps = betas, eps

    @property
    def state_names(self) -> tuple[str, ...]:
        """The running means of the gradient and of its square."""
        return ("m", "v")

    def rates(self, learning_rate: float) -> Array:
        """Return the learning rate, and with both corrections folded in, the step's size and eps.

        That leaves p -= step · m / (sqrt(v) + eps').
        """
        beta1, beta2 = self.betas
        correction1, correction2 = 1 - beta1 ** (self.steps + 1), 1 - beta2 ** (self.steps + 1)
        step = learning_rate * math.sqrt(correction2) / correction1
        return mx.array([learning_rate, step, self.eps * math.sqrt(correction2)])

    def change(
        self, name: str, gradient: Array, state: list[Array], rates: Array
    ) -> tuple[Array, ...]:
        """Return the move and the new m and v."""
        (m, v), (beta1, beta2), (_, step, eps) = state, self.betas, rates
        m = beta1 * m + (1 - beta1) * gradient
        v = beta2 * v + (1 - beta2) * gradient * gradient
        return step * m / (mx.sqrt(v) + eps), m, v


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: u = momentum · u + g; p = p - lr · u."""

    def __init__(self, model: Module, *, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(model, weight_decay=weight_decay)
        self.momentum = momentum

    @property
    def state_names(self) -> tuple[str, ...]:
        """The running sum of the gradients."""
        return ("u",)

    def rates(self, learning_rate: float) -> Array:
        """Return the learning rate."""
        return mx.array([learning_rate])

    def change(
        self, name: str, gradient: Array, state: list[Array], rates: Array
    ) -> tuple[Array, ...]:
        """Return the move and the new u."""
        u = self.momentum * state[0] + gradient
        return rates[0] * u, u
