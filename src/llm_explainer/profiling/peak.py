"""What the machine can do at best: sgemm's operations a second, and bytes a second from memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from threadpoolctl import ThreadpoolController

PRODUCT_SIZE = 1024  # 12 MB in three matrices: large enough for full speed, 20 ms on one core
BANDWIDTH_BYTES = 64 << 20  # of each array: far more than a cache holds


@dataclass(frozen=True)
class Peak:
    """The best of several short measurements, with all threads at work."""

    flops: float  # a second: float32 products and sums of large matrix products
    bandwidth: float  # bytes a second, read and written, of adding two long arrays

    def better(self, other: Peak) -> Peak:
        """Return the better of each: other programs only ever make a measurement worse."""
        return Peak(max(self.flops, other.flops), max(self.bandwidth, other.bandwidth))


def measure_peak(threads: int, repeats: int = 3) -> Peak:
    """Measure for about a fifth of a second, with one thread of BLAS in each of ``threads``.

    That is how training uses the machine, and faster or as fast as BLAS's own threads.
    """
    return Peak(
        max(_product_flops(threads) for _ in range(repeats)),
        max(_bandwidth(threads) for _ in range(repeats)),
    )


def _product_flops(threads: int) -> float:
    a, b = np.ones((2, PRODUCT_SIZE, PRODUCT_SIZE), np.float32)
    outs = [np.empty_like(a) for _ in range(threads)]
    with ThreadpoolController().limit(limits=1, user_api="blas"):
        seconds = _side_by_side([partial(np.matmul, a, b, c) for c in outs])
    return threads * 2 * PRODUCT_SIZE**3 / seconds


def _bandwidth(threads: int) -> float:
    a, b, c = np.ones((3, BANDWIDTH_BYTES // 4), np.float32)
    cuts = [slice(len(a) * i // threads, len(a) * (i + 1) // threads) for i in range(threads)]
    seconds = _side_by_side([partial(np.add, a[s], b[s], c[s]) for s in cuts])
    return 3 * BANDWIDTH_BYTES / seconds


def _side_by_side(works: list[Callable[[], object]]) -> float:
    """Return the seconds that all take, run at once, after a first time that nobody counts."""
    with ThreadPoolExecutor(len(works)) as pool:
        list(pool.map(lambda work: work(), works))
        start = time.perf_counter()
        list(pool.map(lambda work: work(), works))
        return time.perf_counter() - start
