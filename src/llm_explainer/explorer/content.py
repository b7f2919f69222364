"""What a page holds: arrays by name and exactness, and facts that are no arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from llm_explainer.explorer.packing import Kind, pack
from llm_explainer.plain.contract import Array


class Content:
    """Collects what a page is to show. Views find arrays by the names that they are put under.

    Names are paths: ``activations/blocks.0.attention.q``, ``gradients/...`` of the same names,
    ``parameters/...`` with the names of a model's parameters, and what a view has of its own.
    """

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self._arrays: dict[str, tuple[Array, Kind]] = {}

    def put(self, name: str, array: Array, kind: Kind = "float24") -> None:
        """Keep an array, as exactly as ``kind`` says."""
        self._arrays[name] = np.asarray(array), kind

    def array(self, name: str) -> Array:
        """Return an array as it was put."""
        return self._arrays[name][0]

    def names(self) -> list[str]:
        """Return the names of all arrays."""
        return list(self._arrays)

    def packed(self) -> str:
        """Return it all as base85."""
        return pack(self.facts, self._arrays)
