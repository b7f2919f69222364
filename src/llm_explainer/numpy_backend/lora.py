"""Low-rank adapters on a Linear, with their backward pass (Hu et al. 2021; Liu et al. 2024, DoRA).

Letters: I and O input and output dims of the layer, r the rank of a slice, R of all of them, N all
rows of x (B·T), dz = dLoss/dz.

Explained in ``Tutorial/10 - FineTuning.md``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from llm_explainer.init import adapter_a
from llm_explainer.lora_config import AdaptedRows
from llm_explainer.numpy_backend.kernels import (
    are_apart,
    column_sums,
    row_lengths,
    times_transposed,
    write_product,
)
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


class _Call(NamedTuple):
    """What a call computed, for its backward pass."""

    x: Array  # (N, I)
    seen: Array  # what the adapters saw of it, (N, I)
    mask: Array | None  # that hid the rest
    u: Array  # A x, (N, R)
    directions: Array | None  # W + s B A (O, I), where x was multiplied by it
    lengths: list[Array]  # with DoRA, those of the rows of W + s B A, by slice


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
        *firsts, n_ranks = accumulate((rows.rank for rows in slices), initial=0)
        self.lora_a = adapter_a(rng, n_ranks, slices[0].inputs)  # (R, I)
        weight = base.weight if dora else None
        self.slices = [
            LoRASlice(rows, first, weight) for rows, first in zip(slices, firsts, strict=True)
        ]
        self._dropout = Dropout(dropout)

    def group_of(self, name: str) -> Group:
        """A is a matrix of a product."""
        return "matrix"

    def __call__(self, x: Array) -> Array:
        """Map (..., I) to (..., O)."""
        x_rows = x.reshape(-1, x.shape[-1])  # (N, I)
        y = np.empty((len(x_rows), len(self.base.weight)), x.dtype)  # (N, O)
        self.write(x_rows, y)
        return y.reshape(*x.shape[:-1], -1)

    def write(self, x: Array, y: Array) -> None:
        """Write what x (N, I) is mapped to into y (N, O)."""
        self._fill(self._call(x, None), y)

    def forward(self, x: Array, rng: np.random.Generator | None = None) -> tuple[Array, Backward]:
        """Map (..., I) to (..., O); ``rng`` draws what the adapters do not see of x."""
        call = self._call(x.reshape(-1, x.shape[-1]), rng)
        y = np.empty((len(call.x), len(self.base.weight)), x.dtype)  # (N, O)
        kept = self._fill(call, y)
        return y.reshape(*x.shape[:-1], -1), self._backward(call, kept, x.shape)

    def backward_of(self, x: Array) -> Backward:
        """Return the backward pass of ``self(x)``, which needs x (..., I) and not the result."""
        if self.slices[0].magnitude is not None:
            return self.forward(x)[1]  # DoRA's needs the result too
        return self._backward(self._call(x.reshape(-1, x.shape[-1]), None), {}, x.shape)

    def merged(self) -> Linear:
        """Return a layer whose weight is W + s B A; of one that shared a table, the untied head."""
        directions = self._directions()
        weight = self._stretched(directions, self._lengths(directions))
        return Linear.of(weight, self.base.bias, self.base.group_of("weight"))

    def lengths_of_base(self) -> Array:
        """Return the length of each row of W, (O,)."""
        return row_lengths(self.base.weight)

    def hold_lengths(self) -> None:
        """Go by the lengths that the rows have now, whatever becomes of A and B.

        The gradient takes them for constant, so a check of it against differences needs them so.
        """
        lengths = row_lengths(self._directions())
        for part in self.slices:
            part._held = lengths[part._rows]

    def _call(self, x: Array, rng: np.random.Generator | None) -> _Call:
        """Begin to map x (N, I).

        Many rows are better multiplied by W + s B A, made for them, than by W, A and B: that
        product is as large as the one with W alone, and takes the place of two narrow ones and of a
        pass over the result.
        """
        mask = self._dropout.mask(x.shape, x.dtype, rng)
        seen = x if mask is None else x * mask
        u = times_transposed(seen, self.lora_a)  # (N, I) @ (I, R) -> (N, R)
        merges = mask is None and len(x) >= x.shape[1] and not are_apart()
        has_lengths = self.slices[0].magnitude is not None
        directions = self._directions() if merges or has_lengths else None
        lengths = [] if directions is None else self._lengths(directions)
        return _Call(x, seen, mask, u, directions if merges else None, lengths)

    def _fill(self, call: _Call, y: Array) -> dict[int, Array]:
        """Write the result into y (N, O).

        Returns, by slice, what the gradient of DoRA's lengths needs: (W + s B A) x, (N, rows).
        """
        bias, kept = self.base.bias, {}
        if call.directions is not None:
            times_transposed(call.x, call.directions, out=y)
            if bias is not None:
                y += bias
        else:
            self.base.write(call.x, y)
            for part in self.slices:
                u, b = call.u[:, part._ranks], part.lora_b * part._scale
                y[:, part._rows] += times_transposed(u, b)  # (N, r) @ (r, rows)
        for index, (part, lengths) in enumerate(zip(self.slices, call.lengths, strict=False)):
            y_part = y[:, part._rows]  # a view
            own_bias = 0 if bias is None else bias[part._rows]
            kept[index] = y_part - own_bias
            np.multiply(kept[index], part.magnitude / lengths, out=y_part)
            y_part += own_bias
        return kept

    def _backward(self, call: _Call, kept: dict[int, Array], shape: tuple[int, ...]) -> Backward:
        def backward(dy: Array, out: Tree | None = None) -> tuple[Array, Tree]:
            grads = gradients_like(self, out)
            places = grads.get("slices", [{} for _ in self.slices])
            dy_rows = dy.reshape(-1, dy.shape[-1])  # (N, O)
            du = np.empty_like(call.u)  # (N, R)
            for index, (part, place) in enumerate(zip(self.slices, places, strict=True)):
                dpart = dy_rows[:, part._rows]  # (N, rows), a view
                gain: Any = part._scale  # of B u
                if part.magnitude is not None:
                    gain = (part.magnitude / call.lengths[index] * gain)[:, None]  # (rows, 1)
                if "magnitude" in place:
                    sums = column_sums(dpart * kept[index])
                    np.divide(sums, call.lengths[index], out=place["magnitude"])
                if "lora_b" in place:  # (rows, N) @ (N, r) -> (rows, r)
                    np.multiply(dpart.T @ call.u[:, part._ranks], gain, out=place["lora_b"])
                np.matmul(dpart, part.lora_b * gain, out=du[:, part._ranks])
            if "lora_a" in grads:
                np.matmul(du.T, call.seen, out=grads["lora_a"])  # (R, N) @ (N, I) -> (R, I)
            dx = self._dx(call, dy_rows, du, place_for("base", grads))
            return dx.reshape(shape), grads

        return backward

    def _dx(self, call: _Call, dy: Array, du: Array, base: Tree) -> Array:
        """Return dLoss/dx (N, I) from dy (N, O) and du (N, R), and write the gradients ``base``."""
        dx: Array
        if call.directions is None or base:
            stretched = self._stretched(dy.T, call.lengths).T
            dx, _ = self.base.backward_of(call.x)(stretched, base)
        if call.directions is not None:
            dx = dy @ self._stretched(call.directions, call.lengths)  # (N, O) @ (O, I) -> (N, I)
            return dx
        through_a = du @ self.lora_a  # (N, R) @ (R, I) -> (N, I)
        dx += through_a if call.mask is None else through_a * call.mask
        return dx

    def _directions(self) -> Array:
        """Return W + s B A (O, I)."""
        weight: Array = self.base.weight
        directions = np.zeros_like(weight)  # stored as it is
        for part in self.slices:
            b, a = part.lora_b * part._scale, self.lora_a[part._ranks]
            write_product(b, a, out=directions[part._rows])  # (rows, r) @ (r, I)
        directions += weight
        return directions

    def _lengths(self, directions: Array) -> list[Array]:
        """Return the lengths of the rows of W + s B A, by slice; none without DoRA."""
        if self.slices[0].magnitude is None:
            return []
        lengths = row_lengths(directions)
        return [lengths[part._rows] if part._held is None else part._held for part in self.slices]

    def _stretched(self, rows: Array, lengths: list[Array]) -> Array:
        """Return rows (O, ...) multiplied by what DoRA makes of their lengths."""
        if not lengths:
            return rows
        rows = rows.copy(order="K")
        for part, own in zip(self.slices, lengths, strict=True):
            rows[part._rows] *= (part.magnitude / own)[:, None]
        return rows


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
        return lambda dy, out=None: linear_backward(dy, {})  # the table's is no gradient of its own

    @property
    def weight(self) -> Array:
        """The table, (V, D)."""
        return self._linear().weight

    def group_of(self, name: str) -> Group:
        """Of a weight that is the table's no more, it is the head's."""
        return "head"
