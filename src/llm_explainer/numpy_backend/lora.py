"""Low-rank adapters on a Linear, with their backward pass (Hu et al. 2021; Liu et al. 2024, DoRA).

Letters: I and O input and output dims of the layer, r the rank of a slice, R of all of them, N all
rows of x (B·T), dz = dLoss/dz.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from llm_explainer.lora_config import AdaptedRows
from llm_explainer.numpy_backend.kernels import column_sums, times_transposed
from llm_explainer.numpy_backend.layers import Dropout, Embedding, Linear
from llm_explainer.numpy_backend.module import (
    Array,
    Backward,
    Module,
    gradients_like,
    place_for,
)
from llm_explainer.parameter_groups import Group
from llm_explainer.tree import Tree


class LoRASlice(Module):
    """What one target adds to its rows of a layer: B (rows, r), which begins as zeros.

    With DoRA also the rows' lengths, which begin as those of the weight.
    """

    def __init__(self, rows: AdaptedRows, first: int, weight: Array | None) -> None:
        self.lora_b = np.zeros((rows.n_rows, rows.rank), np.float32)  # (rows, r)
        self.magnitude: Array | None = None  # (rows,)
        if weight is not None:
            self.magnitude = np.linalg.norm(weight[rows.start : rows.stop], axis=1)
        self._rows = slice(rows.start, rows.stop)  # of the layer's O
        self._ranks = slice(first, first + rows.rank)  # of the layer's R
        self._scale = rows.scale
        self._held: Array | None = None  # lengths of the rows of W + s B A, where they are held

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
        self.base = base
        self.lora_a = draw_a(slices, rng)  # (R, I)
        weight = weight_of(base) if dora else None
        firsts = np.cumsum([0, *(rows.rank for rows in slices)]).tolist()
        self.slices = [
            LoRASlice(rows, first, weight) for rows, first in zip(slices, firsts, strict=False)
        ]
        self._dropout = Dropout(dropout)

    def group_of(self, name: str) -> Group:
        """A is a matrix of a product."""
        return "matrix"

    def __call__(self, x: Array) -> Array:
        """Map (..., I) to (..., O)."""
        x_rows = x.reshape(-1, x.shape[-1])  # (N, I)
        y: Array = self.base(x_rows)
        self._adapt(y, times_transposed(x_rows, self.lora_a))
        return y.reshape(*x.shape[:-1], -1)

    def write(self, x: Array, y: Array) -> None:
        """Write what x (N, I) is mapped to into y (N, O)."""
        self.base.write(x, y)
        self._adapt(y, times_transposed(x, self.lora_a))

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        """Map (..., I) to (..., O); ``rng`` draws what the adapters do not see of x."""
        x_rows = x.reshape(-1, x.shape[-1])  # (N, I)
        mask = self._dropout.mask(x_rows.shape, x.dtype, rng)
        seen = x_rows if mask is None else x_rows * mask
        u = seen @ self.lora_a.T  # (N, I) @ (I, R) -> (N, R)
        y: Array = self.base(x_rows)
        adapted = self._adapt(y, u)
        return y.reshape(*x.shape[:-1], -1), self._backward(x, seen, mask, u, adapted)

    def backward_of(self, x: Array) -> Backward:
        """Return the backward pass of ``self(x)``, which needs x (..., I) and not the result."""
        x_rows = x.reshape(-1, x.shape[-1])
        u = x_rows @ self.lora_a.T
        adapted: list[Array | None] = [None for _ in self.slices]
        if any(part.magnitude is not None for part in self.slices):
            adapted = self._adapt(self.base(x_rows), u)
        return self._backward(x, x_rows, None, u, adapted)

    def lengths_of_base(self) -> Array:
        """Return the length of each row of W, (O,)."""
        lengths: Array = np.linalg.norm(weight_of(self.base), axis=1)
        return lengths

    def merged(self) -> Linear:
        """Return a layer whose weight is W + s B A; of one that shared a table, the untied head."""
        layer = Linear.__new__(Linear)
        layer.weight = weight_of(self.base).copy(order="K")
        layer.bias = self.base.bias
        layer._group = "head" if isinstance(self.base, TiedHead) else self.base.group_of("weight")
        for part in self.slices:
            layer.weight[part._rows] = self._direction(part) * self._gain(part)[:, None]
        return layer

    def hold_lengths(self) -> None:
        """Go by the lengths that the rows have now, whatever becomes of A and B.

        The gradient takes them for constant, so a check of it against differences needs them so.
        """
        for part in self.slices:
            part._held = self._lengths(part)

    def _adapt(self, y: Array, u: Array) -> list[Array | None]:
        """Add the slices to y = W x + b (N, O), from u = A x (N, R).

        Returns what DoRA's backward pass needs of each slice, W x + s B A x (N, rows).
        """
        kept: list[Array | None] = []
        for part in self.slices:
            y_part = y[:, part._rows]  # (N, rows), a view
            y_part += u[:, part._ranks] @ (part.lora_b * part._scale).T
            if part.magnitude is None:
                kept.append(None)
                continue
            bias = 0 if self.base.bias is None else self.base.bias[part._rows]
            y_part -= bias
            kept.append(y_part.copy())
            y_part *= self._gain(part)
            y_part += bias
        return kept

    def _backward(
        self, x: Array, seen: Array, mask: Array | None, u: Array, adapted: list[Array | None]
    ) -> Backward:
        base_backward = self.base.backward_of(x)

        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            places = grads.get("slices", [{} for _ in self.slices])
            dy_rows = dy.reshape(-1, dy.shape[-1])  # (N, O)
            if any(pre is not None for pre in adapted):
                dy_rows = dy_rows.copy()
            du = np.empty_like(u)  # (N, R)
            for part, pre, place in zip(self.slices, adapted, places, strict=True):
                dpart = dy_rows[:, part._rows]  # (N, rows), a view
                if pre is not None:
                    if "magnitude" in place:
                        place["magnitude"][...] = column_sums(dpart * pre) / self._lengths(part)
                    dpart *= self._gain(part)  # from here on dLoss/d(W x + s B A x)
                if "lora_b" in place:  # (rows, N) @ (N, r) -> (rows, r)
                    place["lora_b"][...] = (dpart.T @ u[:, part._ranks]) * part._scale
                np.matmul(dpart, part.lora_b * part._scale, out=du[:, part._ranks])
            if "lora_a" in grads:
                np.matmul(du.T, seen, out=grads["lora_a"])  # (R, N) @ (N, I) -> (R, I)
            dx, _ = base_backward(dy_rows.reshape(dy.shape), place_for("base", grads))
            dx_rows = dx.reshape(-1, dx.shape[-1])  # (N, I), a view
            through_a = du @ self.lora_a  # (N, R) @ (R, I) -> (N, I)
            dx_rows += through_a if mask is None else through_a * mask
            return dx, grads

        return backward

    def _direction(self, part: LoRASlice) -> Array:
        """Return W + s B A of a slice's rows, (rows, I)."""
        added: Array = part.lora_b @ self.lora_a[part._ranks]  # (rows, r) @ (r, I)
        added *= part._scale
        added += weight_of(self.base)[part._rows]
        return added

    def _lengths(self, part: LoRASlice) -> Array:
        """Return the length of each row of W + s B A, (rows,)."""
        if part._held is not None:
            return part._held
        direction = self._direction(part)
        lengths: Array = np.sqrt(np.vecdot(direction, direction))
        return lengths

    def _gain(self, part: LoRASlice) -> Array:
        """Return what each row is multiplied by: with DoRA, its length over that of W + s B A."""
        if part.magnitude is None:
            return np.ones(len(part.lora_b), part.lora_b.dtype)
        return part.magnitude / self._lengths(part)


class TiedHead(Module):
    """The output head that shares the token embedding's table, for an adapter to stand on.

    The table has its place among the parameters already, so this has none.
    """

    bias = None

    def __init__(self, table: Embedding) -> None:
        self._linear = table.as_linear

    def __call__(self, x: Array) -> Array:
        """Map (..., D) to (..., V)."""
        return self._linear()(x)

    def write(self, x: Array, y: Array) -> None:
        """Write what x (N, D) is mapped to into y (N, V)."""
        self._linear().write(x, y)

    def backward_of(self, x: Array) -> Backward:
        """Return the backward pass of ``self(x)``, to x alone."""
        linear_backward = self._linear().backward_of(x)
        return lambda dy, out=None: linear_backward(dy, {} if out is None else out)

    @property
    def weight_of_table(self) -> Array:
        """The table, (V, D)."""
        return self._linear().weight


def weight_of(base: Linear | TiedHead) -> Array:
    """Return the weight (O, I) of what an adapter stands on."""
    return base.weight_of_table if isinstance(base, TiedHead) else base.weight


def draw_a(slices: Sequence[AdaptedRows], rng: np.random.Generator) -> Array:
    """Return A of all slices (R, I), uniform within 1 / sqrt(I), as PEFT draws it.

    With B = 0 the model computes what it did before, and the first gradients reach B alone.
    """
    bound = 1 / math.sqrt(slices[0].inputs)
    shape = (sum(rows.rank for rows in slices), slices[0].inputs)
    return rng.uniform(-bound, bound, shape).astype(np.float32)
