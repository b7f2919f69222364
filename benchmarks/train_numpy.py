"""Contestant: our training step on the NumPy backend."""

from __future__ import annotations

import sys

from benchmarks.interleaved import serve
from benchmarks.shapes import BETAS, CLIP_NORM, EPS, LEARNING_RATE, WEIGHT_DECAY, random_batch
from llm_explainer import LoRAConfig, apply_lora, load_backend
from llm_explainer.batch import Batch


def main() -> None:
    """Serve steps of the size and family named on the command line, with adapters on the targets
    that are named third, if any."""
    nn = load_backend("numpy")
    config, tokens, targets = random_batch(*sys.argv[1:3])
    model = nn.GPT(config)
    for targets_of_lora in sys.argv[3:]:
        model = apply_lora(model, LoRAConfig(targets=targets_of_lora))
    optimizer = nn.AdamW(model, betas=BETAS, eps=EPS, weight_decay=WEIGHT_DECAY)
    train_step = nn.TrainStep(model, optimizer, clip_norm=CLIP_NORM)
    serve(lambda: train_step([Batch(tokens, targets)], LEARNING_RATE))


if __name__ == "__main__":
    main()
