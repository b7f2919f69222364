"""The usual causes of a wrong array: how each shows in the numbers.

The order matters: an array that is the negative of the right one may have the right sum, too, if
that is 0. The first cause that fits is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Cause = Literal[
    "shape", "transposed", "axis", "nan", "zero", "sign", "factor", "places", "mask", "term"
]

TOLERANCE = 1e-6
"""Of a right number, as a share of the array's largest; central differences are good to 1e-9."""

_COMMON = (("2", 2.0), ("3", 3.0), ("4", 4.0))


def agrees(mine: Array, right: Array) -> bool:
    """Return whether two arrays are the same to the precision of central differences."""
    return mine.shape == right.shape and bool(np.all(wrong_entries(mine, right) == 0))


def wrong_entries(mine: Array, right: Array) -> Array:
    """Return how far each entry is off, 0 where that is nothing; NaN counts as infinitely far."""
    size = max(float(np.abs(right).max(initial=0)), 1e-12)
    with np.errstate(invalid="ignore"):
        off = np.abs(mine.astype(float) - right.astype(float))
    off = np.where(np.isnan(off) & ~(mine == right), np.inf, off)
    far: Array = np.where((off > TOLERANCE * size) & ~(mine == right), off, 0.0)
    return far


def find_cause(
    mine: Array, right: Array, factors: Sequence[tuple[str, float]] = ()
) -> tuple[Cause, str]:
    """Return the likely cause why ``mine`` is not ``right``, and how to say it.

    ``factors``: names and values of those that may have been forgotten.
    """
    if mine.shape != right.shape:
        return _of_shape(mine, right)
    if not np.all(np.isfinite(mine[np.isfinite(right)])):
        return "nan", "it holds NaN or infinity: a division by 0, or a number that was too large"
    mine, right = mine.astype(float), right.astype(float)
    if not np.any(mine):
        return "zero", "all of it is 0: this was never computed, or its way back is cut off"
    if agrees(-mine, right):
        return "sign", "the sign is flipped: every number is right but for that"
    if found := _constant(mine, right, factors):
        return "factor", found
    if mine.ndim > 1 and mine.shape[-1] == mine.shape[-2] and agrees(mine.swapaxes(-1, -2), right):
        return "transposed", "it is transposed: rows and columns are swapped"
    return _of_entries(mine, right)


def _of_shape(mine: Array, right: Array) -> tuple[Cause, str]:
    if right.dtype.kind == "i" and mine.ndim and mine.shape[1:] == right.shape[1:]:
        return "shape", f"it has {len(mine)} entries, the right one {len(right)}"
    shapes = f"its shape is {mine.shape}, the right one {right.shape}"
    if mine.ndim > 1 and agrees(mine.swapaxes(-1, -2), right):
        return "transposed", f"{shapes}: it is transposed"
    if mine.size > right.size and _same_sum(mine, right):
        return "axis", f"{shapes}: its sum is right; an axis is not summed over that should be"
    if mine.ndim == right.ndim or mine.ndim < right.ndim or _same_sum(mine, right):
        return "axis", f"{shapes}: summed over the wrong axis?"
    return "shape", f"{shapes}: an axis is too many, or summed over too few"


def _constant(mine: Array, right: Array, factors: Sequence[tuple[str, float]]) -> str:
    """Return what to say if one number divides the whole of one array by the other."""
    ratio = float(np.vdot(mine, right) / np.vdot(right, right)) if np.any(right) else 0.0
    if not ratio or not agrees(mine / ratio, right):
        return _of_rows(mine, right)
    known = [*factors, *_COMMON]
    for name, value in [*known, *((f"1/{name}", 1 / value) for name, value in known)]:
        if abs(ratio * value - 1) < TOLERANCE:
            return f"the factor {name} is missing: all of it is {ratio:.4g} times the right one"
    for name, value in [*known, *((f"1/{name}", 1 / value) for name, value in known)]:
        if abs(ratio / value - 1) < TOLERANCE:
            return f"a factor {name} too much: all of it is {ratio:.4g} times the right one"
    if right.size == 1:  # of which every other number is a multiple
        return ""
    sign = ", and its sign is flipped" if ratio < 0 else ""
    return f"all of it is {ratio:.4g} times the right one: a factor is missing{sign}"


def _of_rows(mine: Array, right: Array) -> str:
    """Return what to say if each row is right but for a factor of its own."""
    if right.ndim < 2 or right.shape[-1] < 2:
        return ""
    dots = (mine * right).sum(-1, keepdims=True), (right * right).sum(-1, keepdims=True)
    ratios = dots[0] / np.where(dots[1], dots[1], 1)
    if np.all(np.abs(mine - ratios * right) <= _size(mine)):
        return (
            "each row is right but for a factor of its own: by its sum, its root or its length "
            "it is divided too often, or not at all"
        )
    return ""


def _of_entries(mine: Array, right: Array) -> tuple[Cause, str]:
    """Return the cause where no simple rule makes the one of the other."""
    bad = wrong_entries(mine, right) > 0
    count = f"{bad.sum()} of {bad.size} entries are wrong"
    lost = bad & (mine == 0)
    if lost.sum() == bad.sum():
        return "zero", f"{count}, and those are 0: something never reaches them"
    if np.allclose(np.sort(mine, None), np.sort(right, None), rtol=0, atol=_size(right)):
        return "places", f"{count}: the right numbers are at wrong places"
    if _constant_rows(mine - right) and bad.all():
        return "term", f"{count}, each row by one amount: a term is missing, such as a mean or sum"
    blank = np.abs(right) <= _size(right)
    if blank.any() and (np.abs(mine) > _size(right))[blank].all():
        return "mask", f"{count}: {blank.sum()} that are to be 0 are not; nothing holds them back"
    if _same_sum(mine, right):
        return "places", f"{count}, but the sum is right: shares go to the wrong entries"
    if agrees(np.abs(mine), np.abs(right)):
        return "sign", f"{count}, and only by their sign: one part of it is flipped"
    return "term", f"{count}: no sign, no factor explains it, so a term is missing or wrong"


def _constant_rows(off: Array) -> bool:
    return off.ndim > 0 and off.shape[-1] > 1 and bool(np.ptp(off, axis=-1).max() < _size(off))


def _same_sum(mine: Array, right: Array) -> bool:
    total = float(right.sum())
    if abs(total) <= _size(right):  # right is 0, whatever: that says nothing
        return False
    return abs(float(mine.sum()) - total) <= right.size * _size(right)


def _size(array: Array) -> float:
    return TOLERANCE * max(float(np.abs(array).max(initial=0)), 1e-12)
