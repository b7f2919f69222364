"""Train one small model again and again, each time with one fault: chapter 13's failure lab.

    uv run python Tutorial/runs/failures.py

writes failures.json beside this file, in about ten minutes. Everything else is the same in all
runs: the first weights, the batches, the steps. With names of runs, those alone are trained, and
compared with the log: the last losses must lie within ``BAND`` of it.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from llm_explainer import ModelConfig, load_backend, plain
from llm_explainer.data.stories import stories_text
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.schedule import learning_rate
from llm_explainer.tree import Tree, flatten, unflatten
from llm_explainer.tutorial import SENTENCE, story_model
from llm_explainer.tutorial.faults import FAULTS, plain_with

Array = np.ndarray[Any, Any]
B, T, STEPS, RATE, WARM_UP = 8, 64, 400, 4e-3, 40
EVERY, N_CHECKED, N_WRITTEN = 10, 16, 24
TRAIN_BYTES, CHECK_BYTES = 1_000_000, 60_000
BAND = 0.25
"""So far, in nats a token, the mean loss of a run's last steps may lie from the stored one."""


@dataclass(frozen=True)
class Run:
    """What is not as in the right run."""

    fault: str = ""
    rate: float = RATE
    warm_up: int = WARM_UP
    model: dict[str, Any] = field(default_factory=dict)
    start: float = 1.0  # the first queries' and keys' weights are so many times as large


WIDE = {"d_model": 128, "n_heads": 1}
RUNS = {
    "right": Run(),
    **{name: Run(name) for name in FAULTS},
    "no warm-up": Run(warm_up=0),
    "rate 1e-2": Run(rate=1e-2),
    "rate 1e-2, no warm-up": Run(rate=1e-2, warm_up=0),
    "rate 1e-1": Run(rate=1e-1),
    "one wide head": Run(model=WIDE, start=4),
    "one wide head, no root": Run("no root", model=WIDE, start=4),
}


def main(names: list[str]) -> None:
    """Train all, and store what came of it; or train those that are named, and compare."""
    path = Path(__file__).with_name("failures.json")
    _, tokenizer = story_model()
    train, check = (
        np.array(tokenizer.encode("".join(stories_text(n_bytes, seed))))
        for n_bytes, seed in ((TRAIN_BYTES, 13), (CHECK_BYTES, 14))
    )
    logs = {name: train_with(RUNS[name], train, check, tokenizer) for name in names or RUNS}
    if not names:
        lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(log)}" for name, log in logs.items())
        path.write_text(f"{{\n{lines}\n}}\n", encoding="utf-8")
        return
    stored = json.loads(path.read_text(encoding="utf-8"))
    for name, log in logs.items():
        far = abs(log["losses"][-1] - stored[name]["losses"][-1])
        verdict = "within" if far <= BAND else "outside"
        sys.stdout.write(f"{name}: {log['losses'][-1]}, {verdict} the band\n")


def train_with(run: Run, train: Array, check: Array, tokenizer: Any) -> dict[str, Any]:
    """Return the losses of a run, its gradients at the start, what it is worth, what it writes."""
    training = plain_with(FAULTS[run.fault]) if run.fault else plain
    config = ModelConfig(
        **{"d_model": 64, "n_heads": 2, "n_layers": 2, **run.model},
        vocab_size=tokenizer.vocab_size,
        context_length=T,
    )
    settings = TrainConfig(steps=STEPS, learning_rate=run.rate, warmup_steps=run.warm_up)
    parameters = first_weights(config, run.start)
    state, rng = plain.start_adamw(parameters), np.random.default_rng(13)
    losses, first_lengths = [], {}
    for step in range(STEPS):
        ids, targets = windows(train, rng, B)
        if step == 0:
            first_lengths = gradient_lengths(training, ids, targets, parameters, config)
        loss, parameters, state = training.train_step(
            ids, targets, parameters, state, config, learning_rate(settings, step)
        )
        losses.append(float(loss))
    means = [np.mean(losses[i : i + EVERY]) for i in range(0, STEPS, EVERY)]
    ids, targets = windows(check, np.random.default_rng(0), N_CHECKED)
    return {
        "first_loss": round(losses[0], 3),
        "losses": [round(float(mean), 3) for mean in means],
        "said": round(plain.cross_entropy(training.gpt(ids, parameters, config)[0], targets)[0], 3),
        "in_use": round(loss_in_use(training, ids, targets, parameters, config), 3),
        "gradients": first_lengths,
        "text": text_of(training, parameters, config, tokenizer),
    }


def first_weights(config: ModelConfig, start: float) -> Tree:
    """Return a fresh model's parameters, queries and keys ``start`` times as large."""
    fresh = load_backend("numpy").GPT(config, seed=0).parameters()
    flat = {name: np.array(array) for name, array in flatten(fresh).items()}
    for name, array in flat.items():
        if name.endswith("qkv_proj.weight"):
            array[: 2 * config.d_model] *= start
    return unflatten(flat, like=fresh)


def windows(stream: Array, rng: np.random.Generator, n: int) -> tuple[Array, Array]:
    """Return n pieces of a text, and the token after each of theirs, (n, T) both."""
    starts = rng.integers(len(stream) - T, size=n)
    rows = stream[starts[:, None] + np.arange(T + 1)]  # (n, T + 1)
    return rows[:, :-1], rows[:, 1:]


def gradient_lengths(
    training: ModuleType, ids: Array, targets: Array, parameters: Tree, config: ModelConfig
) -> dict[str, float]:
    """Return the length of the gradient of each block's output and of the embeddings."""
    found: dict[str, float] = {}

    def keep(name: str, array: Array) -> None:
        if name == "embeddings" or name.removeprefix("blocks.").isdigit():
            found[name] = float(f"{np.linalg.norm(array):.3g}")

    logits, backward = training.gpt(ids, parameters, config)
    backward(training.cross_entropy(logits, targets)[1](), keep)
    return found


def loss_in_use(
    training: ModuleType, ids: Array, targets: Array, parameters: Tree, config: ModelConfig
) -> float:
    """Return the mean loss where each token is predicted from a text that ends before it."""
    losses = []
    for t in range(1, T + 1):
        logits, _ = training.gpt(ids[:, :t], parameters, config)
        losses.append(plain.cross_entropy(logits[:, -1], targets[:, t - 1])[0])
    return float(np.mean(losses))


def text_of(training: ModuleType, parameters: Tree, config: ModelConfig, tokenizer: Any) -> str:
    """Return the sentence, continued by the likeliest token, one after the other."""
    ids = list(tokenizer.encode(SENTENCE))
    for _ in range(N_WRITTEN):
        logits, _ = training.gpt(np.array([ids]), parameters, config)
        ids.append(int(logits[0, -1].argmax()))
    return str(tokenizer.decode(ids))


if __name__ == "__main__":
    main(sys.argv[1:])
