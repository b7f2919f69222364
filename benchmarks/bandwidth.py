"""Contestant: reads 512 MiB of weights once, as fast as this machine's memory gives them.

A product of a large matrix and a vector has two operations for every number that it reads, so it
waits for memory all the time. All threads of BLAS take part. Rows of 4,096 numbers are the best
case: with 768 of them, GPT-2's width, a product reads about a quarter slower.
"""

from __future__ import annotations

import numpy as np

from benchmarks.interleaved import serve

N_BYTES = 512 << 20


def main() -> None:
    """Serve products of a (32_768, 4096) matrix with a vector."""
    matrix = np.ones((32_768, 4096), np.float32)
    vector = np.ones(4096, np.float32)
    assert matrix.nbytes == N_BYTES
    serve(lambda: matrix @ vector)


if __name__ == "__main__":
    main()
