"""A curve in one line of text."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """Draw values as a row of at most ``width`` bars, each the mean of its share of them.

    >>> sparkline([1, 2, 3, 4], 4)
    '▁▃▆█'
    """
    n = min(width, len(values))
    if n == 0:
        return ""
    cuts = [len(values) * i // n for i in range(n + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in itertools.pairwise(cuts)]
    low, high = min(means), max(means)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[round((mean - low) * scale)] for mean in means)
