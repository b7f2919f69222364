"""Contestant: mlx-lm's own loop, greedy, on the device that MLX chooses.

Arguments: checkpoint, texts at a time (1), length of the prompt, tokens of a step.
"""

from __future__ import annotations

import sys
from pathlib import Path

import mlx.core as mx
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model

from benchmarks.generate_prompts import prompts
from benchmarks.interleaved import serve


def main() -> None:
    """Serve steps: each continues the prompt by so many tokens."""
    directory, (_, prompt_length, n_tokens) = sys.argv[1], map(int, sys.argv[2:5])
    model, config = load_model(Path(directory))
    prompt = mx.array(prompts(1, prompt_length, config["vocab_size"])[0])  # (T,)

    def step() -> None:
        for _ in generate_step(prompt, model, max_tokens=n_tokens):
            pass

    serve(step)


if __name__ == "__main__":
    main()
