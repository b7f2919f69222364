"""The same gradients, faster at every rung: loops, vectors, matrices, in place, in threads.

``python -m benchmarks.ladder``. One feed-forward layer, y = gelu(x Upᵀ) Downᵀ, forward and
backward. Every rung computes the same four arrays; what changes is how much of the work is left to
Python. All are timed in turn on this machine, the slow ones on a few rows only: each row costs the
same, so seconds a row can be compared.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import ThreadpoolController

from llm_explainer import load_backend
from llm_explainer.files import write_atomically

Array = NDArray[Any]
Result = tuple[Array, Array, Array, Array]
"""y (N, D), dx (N, D), dUp (F, D), dDown (D, F)."""

WIDTH, HIDDEN = 128, 512  # D and F
A, B = math.sqrt(2 / math.pi), 0.044715  # gelu(u) = u (1 + tanh(A (u + B u³))) / 2


def loops(x: Array, dy: Array, up: Array, down: Array) -> Result:
    """Python alone: one number at a time."""
    rows, drows, w1, w2 = (array.tolist() for array in (x, dy, up, down))
    n_in, n_hidden = len(rows[0]), len(w1)
    y, dx = ([[0.0] * n_in for _ in rows] for _ in range(2))
    dw1 = [[0.0] * n_in for _ in range(n_hidden)]
    dw2 = [[0.0] * n_hidden for _ in range(n_in)]
    for row, drow, y_row, dx_row in zip(rows, drows, y, dx, strict=True):
        for f in range(n_hidden):
            u = sum(w1[f][d] * row[d] for d in range(n_in))
            tanh = math.tanh(A * (u + B * u**3))
            h, slope = u * (1 + tanh) / 2, (1 + tanh) / 2
            slope += u * (1 - tanh * tanh) * A * (1 + 3 * B * u * u) / 2
            dh = 0.0
            for d in range(n_in):
                y_row[d] += w2[d][f] * h
                dw2[d][f] += drow[d] * h
                dh += w2[d][f] * drow[d]
            du = dh * slope
            for d in range(n_in):
                dx_row[d] += w1[f][d] * du
                dw1[f][d] += du * row[d]
    y_array, dx_array, dw1_array, dw2_array = (np.array(z, x.dtype) for z in (y, dx, dw1, dw2))
    return y_array, dx_array, dw1_array, dw2_array


def rows(x: Array, dy: Array, up: Array, down: Array) -> Result:
    """NumPy, one token at a time: products of a matrix and a vector."""
    y, dx, dup, ddown = (np.zeros_like(z) for z in (x, x, up, down))
    for n in range(len(x)):
        u = up @ x[n]  # (F, D) @ (D,) -> (F,)
        tanh = np.tanh(A * (u + B * u**3))
        h = u * (1 + tanh) / 2
        slope = (1 + tanh) / 2 + u * (1 - tanh**2) * A * (1 + 3 * B * u**2) / 2
        y[n] = down @ h
        ddown += np.outer(dy[n], h)
        du = (dy[n] @ down) * slope  # (F,)
        dup += np.outer(du, x[n])
        dx[n] = du @ up
    return y, dx, dup, ddown


def matrices(x: Array, dy: Array, up: Array, down: Array) -> Result:
    """All tokens at once: the formulas as a textbook has them."""
    u = x @ up.T  # (N, D) @ (D, F) -> (N, F)
    tanh = np.tanh(A * (u + B * u**3))
    h = u * (1 + tanh) / 2
    slope = (1 + tanh) / 2 + u * (1 - tanh**2) * A * (1 + 3 * B * u**2) / 2
    du = (dy @ down) * slope  # (N, D) @ (D, F) -> (N, F)
    return h @ down.T, du @ up, du.T @ x, dy.T @ h


def in_place(x: Array, dy: Array, up: Array, down: Array) -> Result:
    """No power (``u**3`` calls the C library for each number), and arrays used again."""
    u = x @ up.T  # (N, F)
    squares = u * u
    s = squares * (A * B)
    s += A
    s *= u
    np.tanh(s, out=s)
    s += 1
    s *= 0.5  # (1 + tanh) / 2
    h = u * s
    squares *= 6 * A * B
    squares += 2 * A
    slope = np.subtract(1, s, out=u)  # u is not needed again
    slope *= squares
    slope *= h
    slope += s
    du = dy @ down
    du *= slope
    return h @ down.T, du @ up, du.T @ x, dy.T @ h


class Threads:
    """The rows cut into shards, one thread each; the weights' gradients are sums over shards."""

    def __init__(self, n: int) -> None:
        self.n = n
        self._pool = ThreadPoolExecutor(n)

    def __call__(self, x: Array, dy: Array, up: Array, down: Array) -> Result:
        """NumPy lets go of Python's lock while it computes, so the threads run side by side."""
        shards = zip(np.array_split(x, self.n), np.array_split(dy, self.n), strict=True)
        parts = list(self._pool.map(lambda shard: in_place(*shard, up, down), shards))
        y, dx, dup, ddown = zip(*parts, strict=True)
        return np.concatenate(y), np.concatenate(dx), sum(dup), sum(ddown)


Rung = Callable[[Array, Array, Array, Array], Result]


def rungs(threads: int) -> list[tuple[str, Rung, int]]:
    """Return each rung's name and function, and the rows that it is timed on."""
    return [
        ("Python loops", loops, 4),
        ("NumPy, a token at a time", rows, 256),
        ("NumPy, all tokens at once", matrices, 2048),
        ("no powers, in place", in_place, 2048),
        (f"in {threads} threads", Threads(threads), 2048),
    ]


def inputs(n_rows: int, seed: int = 0) -> tuple[Array, Array, Array, Array]:
    """Return x and dy (N, D), Up (F, D) and Down (D, F), float32."""
    rng = np.random.default_rng(seed)
    shapes = (n_rows, WIDTH), (n_rows, WIDTH), (HIDDEN, WIDTH), (WIDTH, HIDDEN)
    x, dy, up, down = (rng.standard_normal(shape, np.float32) for shape in shapes)
    return x, dy, up * np.float32(0.1), down * np.float32(0.1)


def seconds_a_row(ladder: list[tuple[str, Rung, int]], seconds: float) -> list[float]:
    """Time all rungs in turn for about ``seconds``; return each one's best."""
    work = [(rung, inputs(n_rows)) for _, rung, n_rows in ladder]
    best = [math.inf] * len(work)
    end = time.monotonic() + seconds
    while time.monotonic() < end or math.inf in best:
        for i, (rung, arrays) in enumerate(work):
            start = time.perf_counter()
            rung(*arrays)
            best[i] = min(best[i], (time.perf_counter() - start) / len(arrays[0]))
    return best


def main(argv: Sequence[str] | None = None) -> None:
    """Climb the ladder and print it."""
    parser = argparse.ArgumentParser(prog="benchmarks.ladder", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="in all")
    parser.add_argument("--threads", type=int, default=load_backend("numpy").available_cores())
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    options = parser.parse_args(argv)
    ladder = rungs(options.threads)
    with ThreadpoolController().limit(limits=1, user_api="blas"):
        best = seconds_a_row(ladder, options.seconds)
    flops = 12 * WIDTH * HIDDEN  # six products of each row with a matrix, two operations each
    table = Table(
        title=f"a feed-forward layer, {WIDTH} wide, {HIDDEN} hidden", title_justify="left"
    )
    for heading in ("rung", "µs a token", "GFLOP/s", "gain", "in all"):
        table.add_column(heading, justify="left" if heading == "rung" else "right")
    figures = []
    for i, (name, _, _) in enumerate(ladder):
        gain = best[i - 1] / best[i] if i else 1.0
        table.add_row(
            name,
            f"{best[i] * 1e6:,.2f}",
            f"{flops / best[i] / 1e9:.3g}",
            f"{gain:,.1f} x" if i else "",
            f"{best[0] / best[i]:,.0f} x",
        )
        figures.append({"rung": name, "seconds_per_token": best[i], "flops": flops / best[i]})
    Console(highlight=False).print(table)
    if options.json:
        write_atomically(options.json, json.dumps(figures, indent=2).encode())


if __name__ == "__main__":
    main()
