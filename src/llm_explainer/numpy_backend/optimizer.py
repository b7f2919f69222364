"""AdamW and SGD over one flat array of parameters.

An optimizer moves the model's parameters into a flat buffer (``FlatParameters``) and owns the
state that goes with them. ``update`` is for a nested tree of gradients; training calls
``update_slice``, one slice of the flat gradient for each worker.

Explained in ``Tutorial/08 - Training.md``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import numpy as np

from llm_explainer.numpy_backend.engine.flat import FlatParameters
from llm_explainer.numpy_backend.module import Array, Module
from llm_explainer.tree import Tree, flatten

CHUNK = 1 << 15
"""Numbers updated at a time: 128 kB of each array, so that the dozen passes stay in the cache."""


class Optimizer(ABC):
    """Changes a model's trainable parameters along their gradients; saved with a checkpoint.

    Raises:
        ConfigError: the whole model is frozen.
    """

    def __init__(self, model: Module, *, weight_decay: float = 0.0) -> None:
        self.flat = FlatParameters(model)
        self.names = frozenset(self.flat.groups)  # of the parameters that it updates
        self.weight_decay = weight_decay
        self.steps = 0  # updates done so far
        self._state = {name: self.flat.new_buffer() for name in self.state_names}

    @property
    @abstractmethod
    def state_names(self) -> tuple[str, ...]:
        """Name each state array, as checkpoints do."""

    @abstractmethod
    def update_slice(self, grads: Array, learning_rate: float, scale: float, part: slice) -> None:
        """Update the numbers ``part`` with ``scale`` times their gradients, grads[part].

        The caller adds 1 to ``steps`` first. Slices that do not overlap may run at once.
        """

    def update(self, grads: Tree, learning_rate: float) -> None:
        """Update what is trainable with its gradients, nested like ``model.trainable()``."""
        buffer, values = self.flat.new_buffer(), flatten(grads)
        for name, view in flatten(buffer.tree).items():
            view[...] = values[name]
        self.steps += 1
        self.update_slice(buffer.flat, learning_rate, 1.0, slice(0, self.flat.size))

    def state(self) -> dict[str, Array]:
        """Return the state arrays themselves under dotted names, such as ``m.blocks.0...``."""
        return flatten({name: buffer.tree for name, buffer in self._state.items()})

    def load_state(self, steps: int, state: dict[str, Array]) -> None:
        """Take over what ``steps`` and ``state()`` were, copied in.

        Raises:
            KeyError: an array is missing.
            ValueError: a shape differs.
        """
        for name, array in self.state().items():
            if name not in state:
                raise KeyError(f"optimizer state {name} is missing")
            if state[name].shape != array.shape:
                raise ValueError(
                    f"optimizer state {name}: {state[name].shape} does not fit {array.shape}"
                )
            array[...] = state[name]
        self.steps = steps

    def _decay(self, part: slice, learning_rate: float) -> None:
        """Shrink what decays in ``part``: p -= lr · weight_decay · p."""
        decayed = self.flat.values[part.start : min(part.stop, self.flat.n_decayed)]
        if self.weight_decay and len(decayed):
            decayed *= 1 - learning_rate * self.weight_decay


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

    def update_slice(self, grads: Array, learning_rate: float, scale: float, part: slice) -> None:
        """Update the numbers ``part``; see the base class."""
        beta1, beta2 = self.betas
        correction1, correction2 = 1 - beta1**self.steps, 1 - beta2**self.steps
        # The two corrections are folded into the step's size and into eps, which leaves
        # p -= step · m / (sqrt(v) + eps').
        step = learning_rate * math.sqrt(correction2) / correction1
        eps = self.eps * math.sqrt(correction2)
        scratch = np.empty(min(CHUNK, part.stop - part.start), grads.dtype)
        for start in range(part.start, part.stop, CHUNK):
            chunk = slice(start, min(start + CHUNK, part.stop))
            p, g = self.flat.values[chunk], grads[chunk]
            m, v = self._state["m"].flat[chunk], self._state["v"].flat[chunk]
            t = scratch[: len(g)]
            m *= beta1
            m += np.multiply(g, (1 - beta1) * scale, out=t)
            v *= beta2
            np.multiply(g, g, out=t)
            t *= (1 - beta2) * scale * scale
            v += t
            np.sqrt(v, out=t)
            t += eps
            np.divide(m, t, out=t)
            t *= step
            self._decay(chunk, learning_rate)
            p -= t


class SGD(Optimizer):
    """Stochastic gradient descent with momentum: u = momentum · u + g; p = p - lr · u."""

    def __init__(self, model: Module, *, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        super().__init__(model, weight_decay=weight_decay)
        self.momentum = momentum

    @property
    def state_names(self) -> tuple[str, ...]:
        """The running sum of the gradients."""
        return ("u",)

    def update_slice(self, grads: Array, learning_rate: float, scale: float, part: slice) -> None:
        """Update the numbers ``part``; see the base class."""
        u = self._state["u"].flat[part]
        u *= self.momentum
        u += grads[part] * scale
        self._decay(part, learning_rate)
        self.flat.values[part] -= learning_rate * u
