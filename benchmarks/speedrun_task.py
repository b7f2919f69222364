"""The speedrun's task: nanoGPT's CPU headline, Shakespeare by characters to a loss of 1.88.

Facts from nanoGPT's repository (Karpathy 2022): the first 90 % of the characters are for training,
the rest for validation; the vocabulary is the 65 characters that occur; and a loss is the mean over
20 batches of 12 windows of 64 characters at random places of the validation text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]

GOAL = 1.88  # nats a character
CONTEXT, EVAL_BATCH, EVAL_BATCHES = 64, 12, 20
EVALUATE_EVERY = 50  # steps; the clock stands still meanwhile


def load(path: str | Path) -> tuple[Ids, Ids, int]:
    """Return the ids of the training and the validation text, and the size of the vocabulary."""
    text = Path(path).read_text(encoding="utf-8")
    ids_of = {character: i for i, character in enumerate(sorted(set(text)))}
    ids = np.array([ids_of[character] for character in text], np.int64)
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut:], len(ids_of)


def windows(ids: Ids, starts: Ids) -> tuple[Ids, Ids]:
    """Return inputs and targets (B, T), the targets one character further on."""
    places = starts[:, None] + np.arange(CONTEXT + 1)
    return ids[places[:, :-1]], ids[places[:, 1:]]


def estimate_loss(loss: Callable[[Ids, Ids], float], validation: Ids, step: int) -> float:
    """Measure as nanoGPT does. After the same step all contestants see the same windows."""
    rng = np.random.default_rng(step)
    losses = []
    for _ in range(EVAL_BATCHES):
        starts = rng.integers(len(validation) - CONTEXT, size=EVAL_BATCH)
        losses.append(loss(*windows(validation, starts)))
    return sum(losses) / len(losses)


def whole_loss(loss: Callable[[Ids, Ids], float], validation: Ids) -> float:
    """Measure on all validation text, in windows that stand end to end."""
    total = count = 0.0
    for inputs, targets in _end_to_end(validation):
        total += loss(inputs, targets) * targets.size
        count += targets.size
    return total / count


def _end_to_end(validation: Ids) -> Iterator[tuple[Ids, Ids]]:
    starts = np.arange(0, len(validation) - CONTEXT, CONTEXT)
    for first in range(0, len(starts), 64):
        yield windows(validation, starts[first : first + 64])
