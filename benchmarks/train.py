"""Training speed beside PyTorch: `uv run --with torch python -m benchmarks.train`.

A step is forward pass, backward pass, clipping and AdamW in float32, on random tokens. Without
PyTorch installed, our own figures are printed alone.
"""

from __future__ import annotations

import argparse
import importlib.util

from benchmarks.interleaved import Contestant, race
from benchmarks.shapes import BATCH_SIZES
from llm_explainer import ModelConfig


def main() -> None:
    """Race at every size asked for, and print a line for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(BATCH_SIZES), default=["small"])
    parser.add_argument("--seconds", type=float, default=30.0, help="for each size")
    options = parser.parse_args()
    for size in options.sizes:
        contestants = [Contestant("llm-explainer numpy", "benchmarks.train_numpy", [size])]
        if importlib.util.find_spec("torch"):
            contestants.append(Contestant("PyTorch eager", "benchmarks.train_torch", [size]))
        race(contestants, options.seconds)
        config = ModelConfig.preset(size)
        n_tokens = BATCH_SIZES[size] * config.context_length
        reference = contestants[-1].median()
        for contestant in contestants:
            seconds = contestant.median()
            rate = n_tokens * config.training_flops_per_token() / seconds / 1e9
            print(
                f"{size:8}{contestant.name:22}{seconds * 1e3:9.2f} ms/step"
                f"{n_tokens / seconds:10,.0f} tokens/s{rate:7.0f} GFLOP/s"
                f"{reference / seconds:7.2f} x {contestants[-1].name}"
                f"   ({len(contestant.seconds)} steps, {contestant.dropped_slices} slices dropped)"
            )


if __name__ == "__main__":
    main()
