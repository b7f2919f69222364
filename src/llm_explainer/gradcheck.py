"""Proof that a backward pass is right: its gradients beside central differences, in float64.

A derivative can be measured without knowing any calculus: nudge one number up and down, see how
much the result moves. That is slow (two forward passes for every number of the model) and free of
our mistakes, which makes it the judge of gradients that were derived by hand.

What it finds, and what it cannot: ``Tutorial/13 - FailureLab.md``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from llm_explainer.adapters import apply_lora, hold_lengths
from llm_explainer.backend import load_backend
from llm_explainer.config import ModelConfig
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.tree import flatten

Array = NDArray[Any]
Verdict = Literal["ok", "zero", "wrong"]
Progress = Callable[[int, int], None]
"""Called with the number of parameters' entries measured so far, and of all."""

STEP = 1e-5
"""How far a number is nudged. The error is about step² (curvature) + 1e-16 / step (rounding)."""

TOLERANCE = 1e-6
"""Largest relative error of a right gradient: rounding and curvature stay well below it."""

FLOOR = 1e-3
"""Gradients weaker than this share of a typical one are measured against it: ``least_lengths``."""

BATCH, WEIGHT_STD = 3, 0.5


@dataclass(frozen=True)
class ParameterCheck:
    """How well a parameter's gradient agrees with central differences."""

    name: str
    shape: tuple[int, ...]
    relative_error: float  # the worst over all checks made
    verdict: Verdict  # "zero": right, and zero: the parameter has no say here


def numeric_gradient(f: Callable[[], float], array: Array, step: float = STEP) -> Array:
    """Return df/darray by central differences: (f(a + step) - f(a - step)) / (2 · step).

    ``f`` takes nothing and reads ``array`` (float64, any shape), which is changed number by number
    and put back.
    """
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        value = array[index]
        array[index] = value + step
        above = f()
        array[index] = value - step
        below = f()
        array[index] = value
        gradient[index] = (above - below) / (2 * step)
    return gradient


def relative_error(exact: Array, numeric: Array, floor: float = 0.0) -> float:
    """Return the length of exact - numeric over the longer one's length, or over ``floor``.

    Of whole arrays, not of single numbers: a number that happens to be near zero has no relative
    precision to lose, while in an array that is wrong anywhere the difference is not small.
    """
    difference = float(np.linalg.norm(exact - numeric))
    length = max(float(np.linalg.norm(exact)), float(np.linalg.norm(numeric)), floor)
    return difference / length if length else difference


def least_lengths(gradients: dict[str, Array], share: float) -> dict[str, float]:
    """Return the length that each gradient counts as having at least, when errors are measured.

    Some gradients are zero by mathematics: a softmax does not see what is added to all scores of a
    row, so a key's bias changes nothing (unless RoPE rotates it). Their differences are all
    rounding. So a gradient counts as at least a ``share`` of what an array of its size has on
    average.
    """
    squares = sum(float(np.vdot(array, array)) for array in gradients.values())
    typical = math.sqrt(squares / max(1, sum(array.size for array in gradients.values())))
    return {name: share * typical * math.sqrt(a.size) for name, a in gradients.items()}


def compare(exact: dict[str, Array], numeric: dict[str, Array]) -> list[ParameterCheck]:
    """Judge every gradient of ``exact``; both map the same dotted names to arrays.

    Raises:
        KeyError: the names differ.
    """
    if exact.keys() != numeric.keys():
        raise KeyError(f"gradients of different names: {sorted(exact.keys() ^ numeric.keys())}")
    floors = least_lengths(numeric, FLOOR)
    checks = []
    for name, gradient in exact.items():
        floor = floors[name]
        error = relative_error(gradient, numeric[name], floor)
        right = error <= TOLERANCE  # false for NaN too
        is_zero = np.linalg.norm(gradient) <= TOLERANCE * floor
        verdict: Verdict = "wrong" if not right else "zero" if is_zero else "ok"
        checks.append(ParameterCheck(name, gradient.shape, error, verdict))
    return checks


def check_model(
    config: ModelConfig,
    seed: int = 0,
    *,
    lora: LoRAConfig | None = None,
    on_progress: Progress | None = None,
) -> list[ParameterCheck]:
    """Check every parameter that learns, both ways in which its gradients are asked for.

    With ``lora`` those are the adapters'; the lengths that DoRA divides by are held, as its
    gradient has it.

    Once from a random dLoss/dlogits through ``forward`` (a constant one would hide errors: the
    softmax and the norms let constants vanish), once through ``loss_and_grads`` with a mask. Each
    parameter gets its worse result. Weights are random and large, so that every path matters; the
    text is one token shorter than the context. Dropout is left out.
    """
    rng = np.random.default_rng(seed)
    model = load_backend("numpy").GPT(config, seed=seed)
    if lora is not None:
        model = apply_lora(model, lora, seed)
    model.astype(np.float64)
    for array in flatten(model.parameters()).values():
        array += rng.normal(scale=WEIGHT_STD, size=array.shape)
    if lora is not None:
        hold_lengths(model)
    parameters: dict[str, Array] = flatten(model.trainable())
    shape = (BATCH, max(1, config.context_length - 1))  # (B, T)
    tokens, targets = rng.integers(0, config.vocab_size, (2, *shape))
    mask = rng.random(shape) < 0.7
    mask[0, 0] = True  # at least one target counts
    logits, backward = model.forward(tokens)
    dlogits = rng.normal(size=logits.shape)  # (B, T, V)

    def weighted_logits() -> float:
        return float(np.vdot(model.forward(tokens)[0], dlogits))

    def loss() -> float:
        return float(model.loss(tokens, targets, mask))

    exact = {
        weighted_logits: flatten(backward(dlogits)[1]),
        loss: flatten(model.loss_and_grads(tokens, targets, mask)[1]),
    }
    total = len(exact) * sum(array.size for array in parameters.values())
    done = 0
    results = []
    for f, gradients in exact.items():
        numeric = {}
        for name, array in parameters.items():
            numeric[name] = numeric_gradient(f, array)
            done += array.size
            if on_progress is not None:
                on_progress(done, total)
        results.append(compare(gradients, numeric))
    return [max(pair, key=_badness) for pair in zip(*results, strict=True)]


def _badness(check: ParameterCheck) -> tuple[bool, float]:
    return check.verdict == "wrong", check.relative_error
