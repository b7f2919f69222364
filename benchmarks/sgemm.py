"""Contestant: products of large float32 matrices, the fastest that NumPy's BLAS can compute.

A step is one product of ``SIZE``-square matrices in each of as many threads as there are
processors, BLAS held to one thread in each: as fast as BLAS's own threads, or faster.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.interleaved import serve
from llm_explainer.machine import available_cores

SIZE = 1024
FLOPS = 2 * SIZE**3  # of one product


def main() -> None:
    """Serve steps."""
    n_threads = available_cores()
    a, b = np.random.default_rng(0).random((2, SIZE, SIZE), np.float32)
    outs = np.empty((n_threads, SIZE, SIZE), np.float32)
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(n_threads) as pool:
        serve(lambda: list(pool.map(lambda out: np.matmul(a, b, out=out), outs)))


if __name__ == "__main__":
    main()
