"""One text through every state that a run has kept of its model: what learning changed.

A run keeps milestones, which are early, and its newest checkpoints and the best.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.checkpoint import load_checkpoint
from llm_explainer.errors import CheckpointError
from llm_explainer.generation import generate, generate_ids
from llm_explainer.generation.prompts import Prompt
from llm_explainer.plain.contract import Array
from llm_explainer.run_folders import history_of
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tracing.lens import Lens, lens
from llm_explainer.tracing.recording import trace
from llm_explainer.tracing.threads import threads_for

SAMPLE_TOKENS = 40
TEMPERATURE, SEED = 0.7, 0
"""Of the samples: the same numbers are drawn at every moment, so that only the model differs."""


@dataclass(frozen=True)
class Moment:
    """A model after some steps of training, and what it made of a text of T tokens."""

    step: int
    losses: Array  # (T-1,): of each token but the first, in nats
    attention: Array  # (n_layers, n_heads, T, T): every head's weights
    lens: Lens
    sample: str  # what it wrote by itself, from the text's first token on
    continued: str  # how it went on with the whole text, by its likeliest tokens


def moments(
    run: Path,
    text: Prompt,
    *,
    targets: int | Array | None = None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> list[Moment]:
    """Return what every kept state of a run's model makes of a text, the earliest first.

    Args:
        run: the run's folder.
        text: a text, or its ids.
        targets: as for ``lens``.
        report: told how many states are done, of how many.

    Raises:
        CheckpointError: the folder keeps no checkpoints, or a damaged one.
        GenerationError: a text that cannot be traced.
    """
    history, found = history_of(run), []
    if not history:
        raise CheckpointError(
            f"{run} keeps no checkpoints to go through; it takes the folder of a run"
        )
    for done, (step, checkpoint) in enumerate(history):
        report(done, len(history))
        found.append(_moment(step, checkpoint, text, targets))
    return found


def _moment(step: int, checkpoint: Path, text: Prompt, targets: int | Array | None) -> Moment:
    model, tokenizer = load_checkpoint(checkpoint, "numpy")
    with threads_for(model.config):
        return _moment_of(model, tokenizer, step, text, targets)


def _moment_of(
    model: Any, tokenizer: Tokenizer, step: int, text: Prompt, targets: int | Array | None
) -> Moment:
    traced = trace(model, tokenizer, text)
    n_layers, seen = traced.config.n_layers, traced.activations
    attention = np.stack([seen[f"blocks.{i}.attention.weights"] for i in range(n_layers)])
    written = [int(traced.ids[0])]
    written += generate_ids(
        model,
        written,
        end_of_text=tokenizer.roles.ends,
        max_tokens=SAMPLE_TOKENS,
        temperature=TEMPERATURE,
        seed=SEED,
    )
    greedy = generate(model, tokenizer, text, temperature=0, max_tokens=SAMPLE_TOKENS)
    return Moment(
        step=step,
        losses=traced.losses,
        attention=attention,
        lens=lens(traced, targets=targets),
        sample=tokenizer.decode(written),
        continued="".join(greedy),
    )
