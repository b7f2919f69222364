"""How cost grows: the time and memory of a step and of a generated token, against their sizes.

``python -m benchmarks.scaling``. Each point is measured in a process of its own, so that its peak
memory is its own. Theory says how much work and memory a point takes; what should not grow is the
time for a unit of work. Writes a picture and the figures into a folder.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.scaling_picture import draw_scaling
from llm_explainer import ModelConfig, load_backend
from llm_explainer.batch import Batch
from llm_explainer.files import write_atomically
from llm_explainer.model_spec import ModelSpec

Point = dict[str, Any]
"""A preset's ``size``, the ``batch`` of windows, changes to the preset; or ``cached`` tokens."""

SERIES: dict[str, tuple[str, list[tuple[int, Point]]]] = {
    "batch": ("windows of 128 tokens", [(n, {"batch": n}) for n in (2, 4, 8, 16, 32, 64)]),
    "context": (
        "tokens of a window, 4 windows",
        [(n, {"batch": 4, "context_length": n}) for n in (64, 128, 256, 512, 1024)],
    ),
    "width": (
        "d_model, heads of 32",
        [(n, {"batch": 8, "d_model": n, "n_heads": n // 32}) for n in (64, 128, 256, 512)],
    ),
    "depth": ("blocks", [(n, {"batch": 8, "n_layers": n}) for n in (1, 2, 4, 8, 16)]),
    "size": (
        "parameters: tiny, small, medium, large, 50m",
        [
            (ModelConfig.preset(size).count_parameters(), {"size": size, "batch": 2})
            for size in ("tiny", "small", "medium", "large", "50m")
        ],
    ),
    "generation": (
        "tokens in the cache",
        [(n, {"cached": n, "context_length": 4096}) for n in (64, 256, 1024, 2048, 4000)],
    ),
}
"""By what is varied: its unit, and each value with its point, which is size small but for that."""

PREFILL = 64
"""Tokens that the cache is filled with at a time, so that filling it takes no more memory."""

SLACK = 1.25
"""What a unit of work may cost at the largest point, beside the cheapest, for all that theory
leaves out: caches that overflow, and other programs."""


def config_of(point: Point) -> ModelConfig:
    """Return the point's model."""
    changes = {k: v for k, v in point.items() if k not in ("size", "batch", "cached")}
    return ModelConfig.preset(point.get("size", "small"), **changes)


def theory(point: Point) -> tuple[float, float]:
    """Return the floating-point operations of a step or token, and the bytes that it takes."""
    config, nn = config_of(point), load_backend("numpy")
    if "cached" in point:
        kv_width = config.n_kv_heads * config.head_dim
        # A third of training's, which is forward and twice as much backward; and of a context as
        # long as the cache.
        flops = replace(config, context_length=point["cached"]).training_flops_per_token() / 3
        cache = 2 * config.n_layers * kv_width * point["cached"]
        return flops, 4.0 * (config.count_parameters() + cache)
    n_tokens = point["batch"] * config.context_length
    flops = float(n_tokens * config.training_flops_per_token())
    return flops, float(nn.training_bytes(ModelSpec(config), point["batch"], threads=1))


def measure_time(point: Point, seconds: float) -> float:
    """Return the seconds of a step on all cores, or of a token."""
    step = _make_step(point, threads=0)
    step()
    durations: list[float] = []
    while sum(durations) < seconds or len(durations) < 3:
        start = time.perf_counter()
        step()
        durations.append(time.perf_counter() - start)
    # The quicker half: other programs had the processors in the rest.
    quick = sorted(durations)[: (len(durations) + 1) // 2]
    return sum(quick) / len(quick)


def measure_memory(point: Point) -> float:
    """Return the bytes that a step on one core takes (others would only add their gradients)."""
    before = load_backend("numpy").peak_memory()
    _make_step(point, threads=1)()
    return float(load_backend("numpy").peak_memory() - before)


def _make_step(point: Point, threads: int) -> Callable[[], object]:
    nn = load_backend("numpy")
    model = nn.GPT(config_of(point))
    if "cached" in point:
        return _generate_step(model, point["cached"])
    return _train_step(nn, model, point["batch"], threads)


def _train_step(nn: Any, model: Any, batch: int, threads: int) -> Callable[[], object]:
    shape = (batch, model.config.context_length)
    tokens = np.random.default_rng(0).integers(model.config.vocab_size, size=shape)
    train_step = nn.TrainStep(model, nn.AdamW(model), threads=threads)
    return lambda: train_step([Batch(tokens, tokens)], 1e-4)


def _generate_step(model: Any, n_cached: int) -> Callable[[], object]:
    """Return a function that decodes one token after ``n_cached`` others, again and again."""
    cache = model.make_cache(capacity=n_cached + 1)
    prompt = np.random.default_rng(0).integers(model.config.vocab_size, size=(1, n_cached))
    for start in range(0, n_cached, PREFILL):
        model.next_logits(prompt[:, start : start + PREFILL], cache)
    before = cache.lengths.copy()

    def step() -> None:
        model.next_logits(prompt[:, :1], cache)
        cache.trim(before)

    return step


def measure_apart(point: Point, seconds: float) -> tuple[float, float]:
    """Measure seconds and bytes, each in a process of its own."""
    code = "from benchmarks import scaling; scaling.serve_point()"
    figures = []
    for what in ("time", "memory"):
        arguments = [sys.executable, "-c", code, what, json.dumps(point), str(seconds)]
        output = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True).stdout
        figures.append(float(output))
    return figures[0], figures[1]


def serve_point() -> None:
    """Measure what the command line says and print the figure: the other process's half."""
    what, point, seconds = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])
    print(measure_time(point, seconds) if what == "time" else measure_memory(point))


def run_series(name: str, seconds: float) -> list[dict[str, float]]:
    """Measure a series; return each point's figures beside what theory says."""
    figures = []
    for value, point in SERIES[name][1]:
        work, memory = theory(point)
        step_seconds, n_bytes = measure_apart(point, seconds)
        figures.append(
            {
                "value": value,
                "seconds": step_seconds,
                "bytes": n_bytes,
                "theory_work": work,
                "theory_bytes": memory,
            }
        )
    return figures


def relative_cost(figures: list[dict[str, float]]) -> float:
    """Return the last point's seconds for a unit of work, beside those of the cheapest point."""
    costs = [f["seconds"] / f["theory_work"] for f in figures]
    return costs[-1] / min(costs)


def make_table(name: str, figures: list[dict[str, float]]) -> Table:
    """Return a row for each point."""
    decoding = name == "generation"
    table = Table(title=f"{name} ({SERIES[name][0]})", title_justify="left")
    step = "ms a token" if decoding else "ms a step"
    headings = (step, "work", "GFLOP/s", "memory", "in theory")
    for heading in (name, *headings):
        table.add_column(heading, justify="right")
    for f in figures:
        table.add_row(
            f"{f['value']:,.0f}",
            f"{f['seconds'] * 1e3:.2f}",
            f"{f['theory_work'] / figures[0]['theory_work']:,.1f} x",
            f"{f['theory_work'] / f['seconds'] / 1e9:.1f}",
            f"{f['bytes'] / 1e6:,.0f} MB",
            f"{f['theory_bytes'] / 1e6:,.0f} MB",
        )
    return table


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the series asked for, print a table of each, and draw them."""
    parser = argparse.ArgumentParser(prog="benchmarks.scaling", description=__doc__)
    parser.add_argument("--series", nargs="+", choices=list(SERIES), default=list(SERIES))
    parser.add_argument("--seconds", type=float, default=1.0, help="for each point")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the figures here")
    parser.add_argument("--picture", type=Path, metavar="PATH", help="draw them here, a PNG")
    options = parser.parse_args(argv)
    console = Console(highlight=False)
    results = {}
    for name in options.series:
        results[name] = run_series(name, options.seconds)
        console.print(make_table(name, results[name]))
        cost = relative_cost(results[name])
        verdict = "no worse than theory" if cost <= SLACK else "WORSE than theory"
        console.print(f"{verdict}: a unit of work costs {cost:.2f} x the least at the end\n")
    if options.json:
        write_atomically(options.json, json.dumps(results, indent=2).encode())
    if options.picture:
        units = {name: SERIES[name][0] for name in results}
        draw_scaling(results, units, options.picture)


if __name__ == "__main__":
    main()
