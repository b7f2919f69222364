"""The exercises, by chapter: a function, what of it is cut out, and on what it is tried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.random import Generator

from llm_explainer.errors import ConfigError
from llm_explainer.tutorial.exercises import calls
from llm_explainer.tutorial.exercises.answers import Call
from llm_explainer.tutorial.exercises.template import Cut


@dataclass(frozen=True)
class Exercise:
    """A function to be written, wholly or in part."""

    chapter: int
    number: int  # in its chapter, from 1
    source: str  # its full name
    cut: Cut
    task: str
    calls: tuple[Callable[[Generator], Call], ...]

    @property
    def name(self) -> str:
        """How progress and reports call it, such as "4.2"."""
        return f"{self.chapter}.{self.number}"

    @property
    def function(self) -> str:
        """The function's own name."""
        return self.source.rpartition(".")[2]

    @property
    def title(self) -> str:
        """What is to be written, in few words."""
        part = {"all": "", "forward": ", forward", "backward": ", backward"}
        return f"{self.function}{part[self.cut]}"

    def make_calls(self) -> list[Call]:
        """Return what the function is tried on: always the same."""
        seed = self.chapter * 100 + self.number
        return [call(np.random.default_rng(seed)) for call in self.calls]

    def right_function(self) -> Callable[..., Any]:
        """Return the real function."""
        module, _, name = self.source.rpartition(".")
        function: Callable[..., Any] = getattr(import_module(module), name)
        return function


def find_exercise(chapter: int, number: int) -> Exercise:
    """Return an exercise.

    Raises:
        ConfigError: there is none of this number.
    """
    own = exercises_of(chapter)
    for exercise in own:
        if exercise.number == number:
            return exercise
    known = ", ".join(f"{e.number} ({e.title})" for e in own) or "none"
    raise ConfigError(f"chapter {chapter} has no graded exercise {number}; it has {known}")


def exercises_of(chapter: int) -> list[Exercise]:
    """Return the exercises of a chapter."""
    return [exercise for exercise in EXERCISES if exercise.chapter == chapter]


_NAIVE = "llm_explainer.tokenizer.readable.naive"
_PLAIN, _FILTERS = "llm_explainer.plain", "llm_explainer.generation.filters"
# fmt: off
_ROWS: tuple[tuple[int, str, Cut, Any, str], ...] = (
    (1, f"{_NAIVE}.join", "all", calls.join,
     "From left to right, every such pair as one id."),
    (1, f"{_NAIVE}.encode", "all", calls.encode,
     "Bytes, then every merge in the order of learning."),
    (1, f"{_NAIVE}.train", "all", calls.train,
     "Count all pairs, join the most frequent, again; of equals the greatest bytes go first."),
    (2, f"{_PLAIN}.layers.linear", "all", calls.linear,
     "Write the linear layer, forward and backward."),
    (2, f"{_PLAIN}.layers.linear", "backward", calls.linear,
     "Derive dx, dW and db."),
    (2, f"{_PLAIN}.layers.embedding", "backward", calls.embedding,
     "A token that came twice learns twice."),
    (3, f"{_PLAIN}.positions.sinusoids", "all", calls.sinusoids,
     "Sines and cosines, side by side."),
    (3, f"{_PLAIN}.positions.rotate", "forward", calls.rotate,
     "Rotate each pair by its angle; backward needs cos and sin."),
    (3, f"{_PLAIN}.positions.rotate", "backward", calls.rotate,
     "Which way does the gradient turn?"),
    (3, f"{_PLAIN}.positions.places", "all", calls.places,
     "Count the earlier tokens of the same segment."),
    (4, f"{_PLAIN}.activations.softmax", "forward", calls.softmax_large,
     "Weights that sum to 1, for scores as large as 800."),
    (4, f"{_PLAIN}.activations.softmax", "backward", calls.softmax,
     "What one score gains, the others of its row lose."),
    (4, f"{_PLAIN}.attention.causal_attention", "forward", calls.attention,
     "Call record with scores and weights. Backward needs b, n_heads, n_tokens, width, group, "
     "scale, keys, values, weights and softmax_backward."),
    (4, f"{_PLAIN}.attention.causal_attention", "backward", calls.attention,
     "Back through both products, softmax, and the groups of heads."),
    (4, f"{_PLAIN}.attention.self_attention", "backward", calls.self_attention,
     "From dy to dx: all that happened, in reverse."),
    (5, f"{_PLAIN}.activations.relu", "all", calls.activation,
     "Write the oldest activation and its slope."),
    (5, f"{_PLAIN}.activations.gelu", "all", calls.activation,
     "Write GELU in GPT-2's approximation, and its slope."),
    (5, f"{_PLAIN}.feed_forward.feed_forward", "backward", calls.feed_forward,
     "Chain what the layers gave you."),
    (6, f"{_PLAIN}.layers.layer_norm", "forward", (calls.layer_norm_without_bias, calls.layer_norm),
     "Backward needs std, x_hat and y."),
    (6, f"{_PLAIN}.layers.layer_norm", "backward", calls.layer_norm,
     "Mean and spread depend on every channel, and so does dx."),
    (6, f"{_PLAIN}.block.block", "backward", calls.block,
     "Two residual parts, in reverse."),
    (7, f"{_PLAIN}.model.embed", "backward", calls.embed,
     "Where all rows share positions, they share the gradient."),
    (7, f"{_PLAIN}.model.unembed", "backward", calls.unembed,
     "From dlogits to dx, the norm's and the head's gradients."),
    (8, f"{_PLAIN}.loss.cross_entropy", "forward", calls.cross_entropy_masked,
     "Backward needs shares, log_p and is_target; return the loss at the end of it all."),
    (8, f"{_PLAIN}.loss.cross_entropy", "backward", calls.cross_entropy,
     "Probability minus truth, each with its share."),
    (8, f"{_PLAIN}.training.clip", "all", (calls.clip, calls.clip_short),
     "All arrays together are one long vector."),
    (8, f"{_PLAIN}.training.adamw", "all", calls.adamw,
     "One step: the means, their correction, the decay of matrices."),
    (9, f"{_FILTERS}.softmax", "all", calls.scores,
     "Scores into probabilities, for scores as large as 800."),
    (9, f"{_FILTERS}.keep_top_p", "all", calls.probabilities(0.75),
     "The fewest likeliest tokens that reach p together."),
    (9, f"{_FILTERS}.penalize_repetition", "all", calls.repetition,
     "Less likely is another thing for a negative score."),
    (10, f"{_PLAIN}.lora.lora", "all", calls.lora,
     "A frozen layer and a detour of rank 2, forward and backward."),
    (10, f"{_PLAIN}.lora.lora", "backward", calls.lora,
     "dA, dB, and dx by both ways."),
    (10, f"{_PLAIN}.lora.dora", "backward", calls.dora,
     "As lora's, and the rows' lengths besides; |V| counts as constant."),
    (11, f"{_PLAIN}.layers.rms_norm", "backward", calls.rms_norm,
     "Stretching x does not move y."),
    (11, f"{_PLAIN}.activations.silu", "all", calls.activation,
     "Write silu and its slope."),
    (11, f"{_PLAIN}.activations.swiglu", "backward", calls.swiglu,
     "A product has two sides, and one of them went through silu."),
    (11, f"{_PLAIN}.feed_forward.gated_feed_forward", "backward", calls.gated,
     "x went both ways."),
)
# fmt: on


def _numbered() -> tuple[Exercise, ...]:
    found: list[Exercise] = []
    for chapter, source, cut, made, task in _ROWS:
        number = 1 + sum(exercise.chapter == chapter for exercise in found)
        tried = made if isinstance(made, tuple) else (made,)
        found.append(Exercise(chapter, number, source, cut, task, tried))
    return tuple(found)


EXERCISES = _numbered()
