"""What each layer of a model read and made, on either backend, without the model knowing.

A layer can be replaced by anything that is called as it is; here, for one forward pass, by somebody
who looks on. ``plain`` shows every number of a pass; this shows those that a backend computed.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

IN_A_BLOCK = ("attention_norm", "attention", "feed_forward_norm", "feed_forward")


@dataclass(frozen=True)
class LayerCall:
    """A layer at work: what it read and what it made of that, copied as NumPy arrays."""

    name: str  # as in checkpoints, such as "blocks.0.attention"
    layer: Any
    x: Array
    y: Array


def layer_calls(model: Any, tokens: Array) -> tuple[list[LayerCall], Array]:
    """Run a model on ``tokens`` (B, T).

    Returns the calls of its layers in the order in which they ended, so that a block comes after
    what is in it; and the logits (B, T, V).
    """
    calls: list[LayerCall] = []
    with _watching(model, calls):
        logits = np.asarray(model(tokens))
    return calls, logits


class _Watched:
    """Stands in a layer's place, and keeps what it reads and makes."""

    def __init__(self, name: str, layer: Any, calls: list[LayerCall]) -> None:
        self._name, self._layer, self._calls = name, layer, calls

    def __call__(self, x: Any, *arguments: Any, **more: Any) -> Any:
        return self._keep(x, self._layer(x, *arguments, **more))

    def run(self, x: Any, *arguments: Any, **more: Any) -> Any:
        """Do what a layer of MLX does for inference and training."""
        return self._keep(x, self._layer.run(x, *arguments, **more))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._layer, name)

    def _keep(self, x: Any, y: Any) -> Any:
        # Copies, because whoever called may go on to work in the arrays.
        self._calls.append(LayerCall(self._name, self._layer, np.array(x), np.array(y)))
        return y


@contextmanager
def _watching(model: Any, calls: list[LayerCall]) -> Iterator[None]:
    """Put somebody in the place of every layer who adds its calls to ``calls``."""
    replaced: list[tuple[Any, Any, Any]] = []  # where, under what name or index, what stood there

    def watch(place: MutableMapping[str, Any] | list[Any], key: Any, name: str) -> None:
        replaced.append((place, key, place[key]))
        place[key] = _Watched(name, place[key], calls)

    try:
        for i, block in enumerate(model.blocks):
            for part in IN_A_BLOCK:
                watch(_attributes(block), part, f"blocks.{i}.{part}")
            watch(model.blocks, i, f"blocks.{i}")
        for part in ("token_embedding", "position_embedding", "final_norm", "head"):
            if getattr(model, part) is not None:
                watch(_attributes(model), part, part)
        yield
    finally:
        for place, key, layer in replaced:
            place[key] = layer


def _attributes(module: Any) -> MutableMapping[str, Any]:
    """Return where a module has its layers: an MLX module is a dict of them. Their order stays."""
    return module if isinstance(module, dict) else vars(module)
