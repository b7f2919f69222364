"""What is only about speed in one product or sum: the same numbers, said so that NumPy is quick.

Nothing here is needed to understand the model; each function says what it buys.

Explained in ``Tutorial/12 - TwoBackends.md``.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from llm_explainer.numpy_backend.module import Array

BLOCK = 1 << 16
"""Numbers worked through at a time, 256 KB: the few arrays of a chain fit a core's own cache."""

SAFE_EXPONENT = 60.0
"""exp of it, summed over any vocabulary, is finite in float32, and exp(-60) is not 0.

Where exp could overflow, and what is done: ``causal.py`` and ``attend`` (``attention.py``) subtract
each row's maximum, the first only where ``products_are_small`` does not spare it; ``loss.py`` tries
without and looks at the sums (``SAFE_SUMS``); the sigmoid of ``activations.py`` wants the overflow.
"""

FEW_ROWS = 32
"""Rows of a small batch, as when several texts grow by a token each."""


def times_transposed(rows: Array, weight: Array, out: Array | None = None) -> Array:
    """Return rows · weightᵀ: (N, I) @ (I, O) -> (N, O), in ``out`` where it is given.

    BLAS copies what stands on the right of a product into another order first. For few rows that
    takes as long as the product, so there the weights stand on the left.
    """
    y: Array
    if are_apart():
        y = _times_apart(rows, weight)
    elif 1 < len(rows) <= FEW_ROWS and weight.shape[0] <= weight.shape[1]:
        y = (weight @ rows.T).T  # (O, I) @ (I, N) -> (O, N) -> (N, O)
    else:
        return np.matmul(rows, weight.T, out=out)
    if out is None:
        return y
    out[...] = y
    return out


ROWS_TOGETHER = 4
"""Rows of a product, where no row may depend on how many there are."""

SMALL_PRODUCT = 600_000
"""Multiplications of a product of few rows that one core does as soon as two do one row's.

Up to 1,000,000 BLAS does not copy the weight into another order first, but has one core do it all.
"""

WEIGHT_AT_ONCE = 1 << 21
"""Numbers of a weight, 8 MB, that stay in the processor's last cache for the next row."""


class _Apart(threading.local):
    is_so = False


_apart = _Apart()


@contextmanager
def rows_apart() -> Iterator[None]:
    """Let no row depend on the others, in this thread, to the last bit: they are texts of many.

    BLAS adds up a row's products in another order where it has one row than where it has eight. So
    a product has ``ROWS_TOGETHER`` rows each time, which takes hardly longer than one. With a large
    weight it would take twice as long, and a text alone should not pay for those who are not there:
    then each row is multiplied by itself, and all but the first find the weight in the cache.
    """
    _apart.is_so = True
    try:
        yield
    finally:
        _apart.is_so = False


def are_apart() -> bool:
    """Return whether no row may depend on the others: see ``rows_apart``."""
    return _apart.is_so


def _times_apart(rows: Array, weight: Array) -> Array:
    """Return rows · weightᵀ as above.

    A batch of products is one call, in which NumPy asks BLAS for each of them by itself.
    """
    n_rows = len(rows)
    if ROWS_TOGETHER * weight.size > SMALL_PRODUCT:
        return _times_each(rows, weight)
    y: Array
    if n_rows == 1:  # any others do
        y = np.matmul(rows.repeat(ROWS_TOGETHER, 0), weight.T)
        return y[:1]
    n_missing = -n_rows % ROWS_TOGETHER
    if n_missing:
        rows = np.concatenate([rows, rows[:1].repeat(n_missing, 0)])
    few = rows.reshape(-1, ROWS_TOGETHER, rows.shape[1])  # (N / 4, 4, I)
    y = np.matmul(few, weight.T).reshape(len(rows), -1)
    return y[:n_rows]


def _times_each(rows: Array, weight: Array) -> Array:
    """Return rows · weightᵀ, a row at a time and as much of the weight as the cache holds."""
    y = np.empty((len(rows), len(weight), 1), rows.dtype)
    step = max(1, WEIGHT_AT_ONCE // weight.shape[1])
    for start in range(0, len(weight), step):
        part = slice(start, start + step)
        np.matmul(weight[part], rows[:, :, None], out=y[:, part])  # (o, I) @ (N, I, 1)
    return y[:, :, 0]


def long_lines(matrix: Array) -> Array:
    """Return a matrix (O, I) stored along its longer side: by columns where O > I.

    To decode a token is to read every weight once, and processors read ahead along a line of memory
    but not to the next. At GPT-2's width this is 15 % of the time of a token.
    """
    return np.asfortranarray(matrix) if matrix.shape[0] > matrix.shape[1] else matrix


def write_product(a: Array, b: Array, out: Array) -> None:
    """Write a · b, (O, r) @ (r, I), into ``out`` (O, I), whichever way that is stored.

    A product by rows would be copied number by number into what is stored by columns, which takes
    fifteen times as long as the product of the transposed matrices does.
    """
    if out.strides[0] < out.strides[1]:
        np.matmul(b.T, a.T, out=out.T)
    else:
        np.matmul(a, b, out=out)


def row_lengths(matrix: Array) -> Array:
    """Return the length of every row of (O, I), (O,); read along its lines of memory."""
    if matrix.strides[0] < matrix.strides[1]:
        squares: Array = np.einsum("io,io->o", matrix.T, matrix.T)
    else:
        squares = np.vecdot(matrix, matrix)
    return np.sqrt(squares)


def column_sums(rows: Array) -> Array:
    """Return the sum over the rows of (N, D) -> (D,).

    As a product with ones: BLAS runs it at memory speed, four times as fast as ``rows.sum(0)``.
    """
    sums: Array = np.ones(len(rows), rows.dtype) @ rows
    return sums


def add_to_rows(table: Array, ids: Array, values: Array) -> None:
    """Add ``values`` (..., D) to those rows of ``table`` (V, D) that ``ids`` (...) name.

    An id that occurs twice gets both, which ``table[ids] += values`` would not do. ``np.add.at`` is
    five times as fast on single numbers as on rows, so the table is seen as a line of numbers, if
    it is one: by rows, or by columns. Ids in a row, as positions are, need none of that.
    """
    n_rows, dims = table.shape
    if ids.ndim == 1 and len(ids) and np.array_equal(ids, np.arange(ids[0], ids[0] + len(ids))):
        table[ids[0] : ids[-1] + 1] += values
        return
    # Wide enough for places in the table: ids may come in as few bits as they need.
    flat_ids, columns = ids.reshape(-1, 1).astype(np.intp), np.arange(dims)  # (N, 1), (D,)
    if table.flags.c_contiguous:
        line, numbers = table.reshape(-1), flat_ids * dims + columns  # (V·D,), (N, D)
    elif table.flags.f_contiguous:
        line, numbers = table.T.reshape(-1), columns * n_rows + flat_ids
    else:
        np.add.at(table, flat_ids[:, 0], values.reshape(-1, dims))
        return
    np.add.at(line, numbers.reshape(-1), values.reshape(-1))


def row_blocks(array: Array) -> Iterator[slice]:
    """Yield the rows (first axis) of an array a few at a time, ``BLOCK`` numbers or one row.

    A chain of operations over a long array fetches it from memory for each of them. Block by block,
    only the first one does: the others find the block in the processor's cache.
    """
    n_rows = len(array)
    step = max(1, BLOCK * n_rows // max(1, array.size))
    for start in range(0, n_rows, step):
        yield slice(start, start + step)


def products_are_small(a: Array, b: Array) -> bool:
    """Whether every dot product of a row of a with a row of b is small.

    None is larger than the product of the longest rows (Cauchy-Schwarz). Below 60, exp and sums of
    it are far from overflow and from 0, so a softmax needs not subtract each row's maximum, which
    would take half as long as the exponentials.
    """
    longest: float = np.vecdot(a, a).max() * np.vecdot(b, b).max()
    return math.sqrt(longest) < SAFE_EXPONENT if math.isfinite(longest) else False
