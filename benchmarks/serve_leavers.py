"""What the others wait while clients leave: the service, asked over HTTP.

``uv run python -m benchmarks.serve_leavers --size small``. Four clients stream texts without a
pause. Beside them is nobody, or a crowd of as many in one of two ways, in slices that take turns:
``stayers`` ask for short texts of random lengths and read them to the end; ``leavers`` ask for long
ones and hang up after as many tokens. Up to that moment both are the same work, so what differs is
the leaving. Measured is what the four wait for the first token and from token to token. Weights are
random, and each token is a character. A slice is counted with whatever else the machine did; what
others do hits all three alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serve import make_tokenizer, sharpened
from benchmarks.service_client import Heard, Service, ask, serving
from llm_explainer import ModelConfig, load_backend
from llm_explainer.checkpoint import save_checkpoint
from llm_explainer.config import SIZES

STEADY = CROWD = 4
PROMPT, TOKENS, SHORTEST, LONGEST = 20, 60, 4, 40  # in tokens
WAYS = ("nobody", "stayers", "leavers")
SLICE_S = 3.0


def main() -> None:
    """Measure, and print a line for each company."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model", options.size)
        with serving(folder / "model", [], folder) as service:
            figures = measure(service, options.seconds)
    for way, found in figures.items():
        print(
            f"beside {way}: first token {found['first_ms']:.1f} ms, "
            f"99 % {found['first_p99_ms']:.1f}"
            f"; from token to token {found['next_ms']:.2f} ms, 99 % {found['next_p99_ms']:.1f}; "
            f"{found['texts']} texts, {found['crowd']} of the crowd"
        )
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))


def write_model(folder: Path, size: str) -> None:
    """Write a model of random weights that knows as many characters as it has ids."""
    config = ModelConfig.preset(size)
    model = sharpened(load_backend("numpy").GPT(config))
    save_checkpoint(folder, model, make_tokenizer(config.vocab_size))


def measure(service: Service, seconds: float) -> dict[str, dict[str, float]]:
    """Return what the steady clients waited beside each company, in milliseconds."""
    heard: dict[str, list[Heard]] = {way: [] for way in WAYS}
    crowds = dict.fromkeys(WAYS, 0)
    seeds = itertools.count()
    end = time.monotonic() + seconds
    for number in itertools.count():
        if number > len(WAYS) and number % len(WAYS) == 0 and time.monotonic() > end:
            break
        way = WAYS[number % len(WAYS)]
        found, crowd = run_slice(service, way, seeds)
        if number >= len(WAYS):  # the first of each is to warm up
            heard[way] += found
            crowds[way] += crowd
    return {way: {**waits(heard[way]), "crowd": crowds[way]} for way in WAYS}


def run_slice(service: Service, way: str, seeds: Any) -> tuple[list[Heard], int]:
    """Let all ask for a while; return what the steady ones heard, and the number of the crowd."""
    ends = threading.Event()

    def steady(_: int) -> list[Heard]:
        found = []
        while not ends.is_set():
            found.append(ask(service.url, "/v1/completions", request(next(seeds), TOKENS)))
        return found

    def crowd(_: int) -> int:
        count = 0
        while not ends.is_set():
            seed = next(seeds)
            length = random.Random(seed).randint(SHORTEST, LONGEST)
            is_leaver = way == "leavers"
            body = request(seed, 10 * LONGEST if is_leaver else length)
            body["max_tokens"] = min(body["max_tokens"], 100)
            ask(service.url, "/v1/completions", body, leave_at=length if is_leaver else None)
            count += 1
        return count

    n_crowd = 0 if way == "nobody" else CROWD
    with ThreadPoolExecutor(STEADY + CROWD) as pool:
        streams = [pool.submit(steady, i) for i in range(STEADY)]
        others = [pool.submit(crowd, i) for i in range(n_crowd)]
        time.sleep(SLICE_S)
        ends.set()
        return [one for each in streams for one in each.result()], sum(
            each.result() for each in others
        )


def request(seed: int, max_tokens: int) -> dict[str, Any]:
    """Return a request whose prompt nobody has asked before."""
    rng = random.Random(seed)
    prompt = [rng.randrange(250) for _ in range(PROMPT)]
    sampled = {"temperature": 0.8, "top_p": 0.95, "seed": seed}
    return {"model": "model", "prompt": prompt, "max_tokens": max_tokens, "stream": True, **sampled}


def waits(heard: list[Heard]) -> dict[str, float]:
    """Return medians and 99th percentiles of the waits for first tokens and for further ones."""
    first = [1e3 * one.seconds[0] for one in heard]
    further = [1e3 * float(gap) for one in heard for gap in np.diff(one.seconds)]
    return {
        "texts": len(heard),
        "first_ms": statistics.median(first),
        "first_p99_ms": float(np.quantile(first, 0.99)),
        "next_ms": statistics.median(further),
        "next_p99_ms": float(np.quantile(further, 0.99)),
    }


if __name__ == "__main__":
    main()
