"""Low-rank adapters on a Linear (Hu et al. 2021; Liu et al. 2024, DoRA).

Letters: I and O input and output dims of the layer, r the rank of a slice, R of all of them.

Explained in ``Tutorial/10 - FineTuning.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

import mlx.core as mx
import numpy as np

from llm_explainer.init import adapter_a
from llm_explainer.lora_config import AdaptedRows
from llm_explainer.mlx_backend.layers import Dropout, Embedding, Linear, QuantizedLinear
from llm_explainer.mlx_backend.module import Array, Backward, Key, Module, with_backward
from llm_explainer.parameter_groups import Group


class LoRASlice(Module):
    """What one target adds to its rows of a layer: B (rows, r), which begins as zeros.

    With DoRA also the rows' lengths, which begin as those of the weight.
    """

    def __init__(self, rows: AdaptedRows, first: int, weight: Array | None) -> None:
        super().__init__()
        self.lora_b = mx.zeros((rows.n_rows, rows.rank))  # (rows, r)
        self.magnitude: Array | None = None  # (rows,)
        if weight is not None:
            self.magnitude = mx.linalg.norm(weight[rows.start : rows.stop], axis=1)
        self._rows = slice(rows.start, rows.stop)  # of the layer's O
        self._ranks = slice(first, first + rows.rank)  # of the layer's R
        self._scale = rows.scale

    def group_of(self, name: str) -> Group:
        """B is a matrix of a product; the lengths are a vector."""
        return "matrix" if name == "lora_b" else "vector"


class LoRALinear(Module):
    """y = W x + b, and on the rows of each slice s · B A x: with W frozen, A and B learn.

    The As of all slices lie in one array (R, I), so x is multiplied once; each B writes its own
    rows. With DoRA, the slice's rows are y = m / |W + s B A| · (W x + s B A x) + b, the lengths
    being the rows', held constant in the gradient (section 4.3).

    Args:
        base: a ``Linear`` or what stands in its place; the caller freezes it
        slices: rows of it that do not overlap
        dropout: share of the numbers of x that the adapters do not see while training
        dora: whether lengths are learned apart
        rng: draws A
    """

    def __init__(
        self,
        base: Any,
        slices: Sequence[AdaptedRows],
        dropout: float = 0.0,
        dora: bool = False,
        *,
        rng: np.random.Generator,
    ) -> None:
        super().__init__()
        self.base = base
        *firsts, n_ranks = accumulate((rows.rank for rows in slices), initial=0)
        self.lora_a = mx.array(adapter_a(rng, n_ranks, slices[0].inputs))  # (R, I)
        weight = weight_of(base) if dora else None
        self.slices = [
            LoRASlice(rows, first, weight) for rows, first in zip(slices, firsts, strict=True)
        ]
        self._dropout = Dropout(dropout)

    def group_of(self, name: str) -> Group:
        """A is a matrix of a product."""
        return "matrix"

    def __call__(self, x: Array) -> Array:
        """Map (..., I) to (..., O)."""
        return self.run(x)

    def forward(self, x: Array, rng: Key | None = None) -> tuple[Array, Backward]:
        """Map (..., I) to (..., O); ``rng`` draws what the adapters do not see of x."""
        return with_backward(self, lambda x: self.run(x, rng), x)

    def run(self, x: Array, rng: Key | None = None) -> Array:
        """Map (..., I) to (..., O), for inference and training."""
        y: Array = self.base(x)  # (..., O)
        u = self._dropout.drop(x, rng) @ self.lora_a.T  # (..., I) @ (I, R) -> (..., R)
        pieces, done = [], 0  # of y, along O
        for part in self.slices:
            pieces.append(y[..., done : part._rows.start])
            pieces.append(self._adapted(y[..., part._rows], u[..., part._ranks], part))
            done = part._rows.stop
        return mx.concatenate([*pieces, y[..., done:]], axis=-1)

    def lengths_of_base(self) -> Array:
        """Return the length of each row of W, (O,)."""
        lengths: Array = mx.linalg.norm(weight_of(self.base), axis=1)
        return lengths

    def merged(self) -> Linear:
        """Return a layer whose weight is W + s B A; of one that shared a table, the untied head."""
        weight, pieces, done = weight_of(self.base), [], 0
        for part in self.slices:
            pieces.append(weight[done : part._rows.start])
            pieces.append(self._direction(part) * self._gain(part)[:, None])
            done = part._rows.stop
        merged = mx.contiguous(mx.concatenate([*pieces, weight[done:]]))
        return Linear.of(merged, self.base.get("bias"), self.base.group_of("weight"))

    def _adapted(self, y: Array, u: Array, part: LoRASlice) -> Array:
        """Return a slice's rows of the result, from W x + b (..., rows) and u = A x (..., r)."""
        added = u @ (part.lora_b * part._scale).T
        if "magnitude" not in part:
            return y + added
        bias = self.base["bias"][part._rows] if "bias" in self.base else mx.zeros(1, y.dtype)
        return (y - bias + added) * self._gain(part).astype(y.dtype) + bias

    def _direction(self, part: LoRASlice) -> Array:
        """Return W + s B A of a slice's rows, (rows, I)."""
        added = part.lora_b @ self.lora_a[part._ranks] * part._scale  # (rows, r) @ (r, I)
        return weight_of(self.base)[part._rows] + added

    def _gain(self, part: LoRASlice) -> Array:
        """Return what each row is multiplied by: with DoRA, its length over that of W + s B A."""
        if "magnitude" not in part:
            return mx.ones(1)
        lengths = mx.linalg.norm(self._direction(part), axis=1)
        gain: Array = part["magnitude"] / mx.stop_gradient(lengths)
        return gain


class TiedHead(Module):
    """The output head that shares the token embedding's table, for an adapter to stand on.

    The table has its place among the parameters already, so this has none.
    """

    def __init__(self, table: Embedding) -> None:
        super().__init__()
        # A module in a module would be found, and counted twice.
        self._table: Callable[[], Embedding] = lambda: table

    def __call__(self, x: Array) -> Array:
        """Map (..., D) to (..., V)."""
        return self._table().as_linear()(x)

    @property
    def weight(self) -> Array:
        """The table, (V, D)."""
        return self._table().weight

    def group_of(self, name: str) -> Group:
        """Of a weight that is the table's no more, it is the head's."""
        return "head"


def weight_of(base: Any) -> Array:
    """Return the weight (O, I) of what an adapter stands on."""
    weight: Array = base.dequantized() if isinstance(base, QuantizedLinear) else base.weight
    return weight
