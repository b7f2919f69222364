"""From GPT-2 to Llama, one switch at a time, trained on the stories: chapter 11.

    uv run python Tutorial/runs/ablations.py

writes ablations.json beside this file, in six minutes on one core. Every model is trained as the
others are: same stories, same rate, and for each seed the same order of batches. To train some of
them again and hold them against what is stored:

    uv run python Tutorial/runs/ablations.py --check "RMS norm" "all five"

Another processor rounds otherwise, and a thousand steps make much of it: a loss may be BAND away.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer import ModelConfig, load_backend
from llm_explainer.data.corpora import load_corpus
from llm_explainer.data.token_files import write_tokens
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.training.batches import WindowBatches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.events import Evaluated, Event
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.trainer import Trainer

BYTES, VOCABULARY = 2_000_000, 512
SEEDS = (0, 1, 2)
BASE: dict[str, Any] = {
    **{"vocab_size": VOCABULARY, "context_length": 64},
    **{"d_model": 64, "n_layers": 2, "n_heads": 4},
}
"""GPT-2's choices, small: four heads of 16 numbers, two blocks."""

SWITCHES: dict[str, dict[str, Any]] = {
    "RMS norm": {"norm": "rmsnorm"},
    "RoPE": {"position": "rope"},
    "SwiGLU": {"activation": "swiglu"},
    "no biases": {"bias": False},
    "grouped heads": {"n_kv_heads": 2},
}
ALL_FIVE = {name: value for change in SWITCHES.values() for name, value in change.items()}
DEEP = {"n_layers": 8}

STEPS, DEEP_STEPS = 1000, 300
TRAINING: dict[str, Any] = {
    **{"batch_size": 8, "learning_rate": 4e-3, "warmup_steps": 60},
    **{"sample_every": 0, "checkpoint_every": 0, "workers": 1},
}
RUNS: dict[str, tuple[dict[str, Any], int]] = {
    "GPT-2": ({}, STEPS),
    **{name: (change, STEPS) for name, change in SWITCHES.items()},
    "all five": (ALL_FIVE, STEPS),
    "8 blocks, pre": (DEEP, DEEP_STEPS),
    "8 blocks, post": ({**DEEP, "norm_position": "post"}, DEEP_STEPS),
}
"""What is changed in ``BASE``, and the number of steps."""

BAND = 0.1
"""So far, in nats a token, the mean of a model's losses may lie from the stored one."""


def main(names: list[str]) -> None:
    """Train all, and store the losses; or train those that are named, and compare."""
    path = Path(__file__).with_name("ablations.json")
    with tempfile.TemporaryDirectory() as folder:
        data = prepare(Path(folder))
        found: dict[str, Any] = {"tokens": counted(*data)}
        for name in names or RUNS:
            found[name] = measure(name, data, Path(folder))
            if not names:
                path.write_text(one_a_line(found), encoding="utf-8")
    if not names:
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    for name in names:
        now, then = (
            float(np.mean([curve[-1] for curve in r[name]["losses"]])) for r in (found, stored)
        )
        verdict = "in the band" if abs(now - then) <= BAND else "NOT in the band"
        sys.stdout.write(f"{name}: {now:.3f}, stored {then:.3f}, {verdict} of {BAND}\n")


def prepare(folder: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the ids of the stories to train on, and of those to measure with."""
    corpus = load_corpus("stories", max_bytes=BYTES)
    tokenizer = BPETokenizer.train(corpus.train, VOCABULARY)
    paths = folder / "train.npy", folder / "validation.npy"
    for path, text in zip(paths, (corpus.train, corpus.validation), strict=True):
        write_tokens(path, text, tokenizer)
    train, validation = (np.load(path) for path in paths)
    return train, validation


def counted(train: np.ndarray[Any, Any], validation: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return how many tokens there are, and the loss of knowing how often each comes, no more."""
    often = np.bincount(train, minlength=VOCABULARY) + 1
    loss = -np.log(often / often.sum())[validation].mean()
    return {"train": len(train), "validation": len(validation), "how_often": round(float(loss), 4)}


def one_a_line(found: dict[str, Any]) -> str:
    """Return JSON with each entry on a line of its own."""
    return "{\n" + ",\n".join(f'"{name}": {json.dumps(r)}' for name, r in found.items()) + "\n}\n"


def measure(name: str, data: tuple[Any, Any], folder: Path) -> dict[str, Any]:
    """Return the number of parameters, and for each seed the losses on unseen stories."""
    change, steps = RUNS[name]
    config = ModelConfig(**{**BASE, **change})
    return {
        "parameters": config.count_parameters(),
        "steps": [*range(steps // 10, steps + 1, steps // 10)],
        "losses": [train(config, steps, seed, data, folder) for seed in SEEDS],
    }


def train(
    config: ModelConfig, steps: int, seed: int, data: tuple[Any, Any], folder: Path
) -> list[float]:
    """Return the loss on unseen stories after each tenth of the steps, the last on all of them."""
    settings = TrainConfig(**TRAINING, steps=steps, seed=seed, eval_every=steps // 10)
    losses: list[float] = []

    def keep(event: Event) -> None:
        if isinstance(event, Evaluated):
            if event.whole:  # of the same step as the last measurement, on a sample
                losses.pop()
            losses.append(round(event.evaluation.loss, 4))

    nn = load_backend("numpy")
    batches = WindowBatches(*data, config.context_length, settings)
    run = RunFolder.new(folder, "run")
    Trainer(nn, nn.GPT(config, seed=seed), None, batches, settings, run, [keep]).train()
    return losses


if __name__ == "__main__":
    arguments = sys.argv[1:]
    main(arguments[arguments.index("--check") + 1 :] if "--check" in arguments else [])
