"""Packing: several short records in one window, so that little of it is padding.

Attention is kept inside each record, by the segments of the batch, so packing changes no logits.
Which lengths share a window is settled once, and every window then takes other records of those
lengths in each epoch: the number of windows stays what it is.
"""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

Places = NDArray[np.int64]


def pack(lengths: Places, room: int) -> list[Places]:
    """Return windows that hold everything, each as ranks among the ``lengths`` sorted upwards.

    Best fit decreasing: the longest goes first, each into the fullest window that has room for it,
    or into a new one. At most 11/9 of the fewest windows that can be, and a few.

    Args:
        lengths: (k,) tokens that each record takes, none over ``room``
        room: tokens of a window
    """
    ascending = np.sort(lengths)
    windows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # (room that is left, window), sorted
    for rank in reversed(range(len(lengths))):
        length = int(ascending[rank])
        at = bisect_left(free, (length, 0))
        if at < len(free):
            left, window = free.pop(at)
        else:
            left, window = room, len(windows)
            windows.append([])
        windows[window].append(rank)
        insort(free, (left - length, window))
    return [np.array(window) for window in windows]


def dealt(windows: list[Places], lengths: Places, rng: np.random.Generator) -> list[Places]:
    """Return the windows with records in their ranks, drawn anew among those of equal length."""
    order = rng.permutation(len(lengths))
    by_length = order[np.argsort(lengths[order], kind="stable")]
    return [by_length[window] for window in windows]
