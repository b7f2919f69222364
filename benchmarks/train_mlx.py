"""Our training step on MLX beside plain mlx.nn: `uv run python -m benchmarks.train_mlx`.

Both train the same shape on the same random tokens, on whatever device MLX has. Where that is a
GPU, both steps are compiled whole by ``mx.compile``. On a CPU neither is: there MLX calls the C++
compiler for each fused operation, which takes two minutes for the smallest model.
"""

from __future__ import annotations

import argparse

import mlx.core as mx

from benchmarks.interleaved import Contestant, race, serve
from benchmarks.mlx_reference import plain_step
from benchmarks.shapes import (
    BATCH_SIZES,
    BETAS,
    CLIP_NORM,
    EPS,
    LEARNING_RATE,
    WEIGHT_DECAY,
    random_batch,
)
from llm_explainer import ModelConfig, load_backend
from llm_explainer.batch import Batch

OURS, PLAIN = "llm-explainer mlx", "plain mlx.nn"


def main() -> None:
    """Race at every size and family asked for, and print a line for each contestant."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(BATCH_SIZES), default=["tiny"])
    parser.add_argument("--families", nargs="+", choices=["gpt2", "llama"], default=["gpt2"])
    parser.add_argument("--seconds", type=float, default=40.0, help="for each model")
    parser.add_argument(
        "--contended", action="store_true", help="count slices that others disturbed, too"
    )
    parser.add_argument("--serve", nargs=3, help=argparse.SUPPRESS)  # name, size, family
    options = parser.parse_args()
    if options.serve:
        serve_steps(*options.serve)
        return
    print(f"MLX {mx.__version__} on {mx.default_device()}")
    for size in options.sizes:
        for family in options.families:
            report(size, family, options)


def report(size: str, family: str, options: argparse.Namespace) -> None:
    """Race both contestants at one model and print a line for each."""
    contestants = [
        Contestant(name, "benchmarks.train_mlx", ["--serve", name, size, family])
        for name in (OURS, PLAIN)
    ]
    race(contestants, options.seconds, options.contended)
    reference = contestants[1].median()
    n_tokens = BATCH_SIZES[size] * ModelConfig.preset(size).context_length
    for contestant in contestants:
        step_s = contestant.median()
        print(
            f"{size:8}{family:7}{contestant.name:20}{step_s * 1e3:9.2f} ms/step"
            f"{n_tokens / step_s:10,.0f} tokens/s{step_s / reference:7.3f} x the time of {PLAIN}"
            f"   ({len(contestant.seconds)} steps, {contestant.dropped_slices} slices dropped)",
            flush=True,
        )


def serve_steps(name: str, size: str, family: str) -> None:
    """Be one of the contestants."""
    _, tokens, targets = random_batch(size)
    config = ModelConfig.preset(size, family=family)
    if name == PLAIN:
        compiled = mx.default_device() != mx.Device(mx.cpu)
        step = plain_step(config, compiled=compiled)
        x, y = mx.array(tokens, mx.int32), mx.array(targets, mx.int32)
        serve(lambda: step(x, y))
        return
    nn = load_backend("mlx")
    model = nn.GPT(config)
    optimizer = nn.AdamW(model, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY)
    train_step = nn.TrainStep(model, optimizer, clip_norm=CLIP_NORM)
    serve(lambda: train_step([Batch(tokens, targets)], LEARNING_RATE))


if __name__ == "__main__":
    main()
