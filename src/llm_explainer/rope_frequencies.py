"""By how much RoPE turns each pair of channels, also by a rule for longer contexts.

RoPE turns channel pair i of a head by θ^(-2i/H) radians a token. Beyond the trained context slow
pairs reach angles that the model never saw; a rule slows them down, and leaves fast ones, which
tell neighbours apart, as they are. All three tellings of the model take their frequencies here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from llm_explainer.rope_scaling import RopeScaling

Frequencies = NDArray[np.float64]


def rope_frequencies(
    width: int, theta: float, scaling: RopeScaling | None = None
) -> tuple[Frequencies, float]:
    """Return by how many radians a token each pair is turned, (H/2,), and the strength.

    θ^(-2i/H) for pair i of a head of width H (Su et al. 2021, section 3.2.2), fastest first, by the
    rule of ``scaling``. Rotated queries and keys are multiplied by the strength.
    """
    frequencies: Frequencies = theta ** (-np.arange(0, width, 2) / width)  # (H/2,)
    if scaling is None:
        return frequencies, 1.0
    if scaling.rule == "linear":
        return frequencies / scaling.factor, scaling.strength
    kept = _kept(scaling, frequencies, theta)  # (H/2,)
    return frequencies * kept + frequencies / scaling.factor * (1 - kept), scaling.strength


def _kept(scaling: RopeScaling, frequencies: Frequencies, theta: float) -> Frequencies:
    """Return the share of each frequency that stays, (H/2,): 1 for the fast, 0 for the slow."""
    if scaling.rule == "llama3":
        turns = scaling.original_context * frequencies / (2 * math.pi)
        span = scaling.high_freq_factor - scaling.low_freq_factor
        return np.asarray(((turns - scaling.low_freq_factor) / span).clip(0.0, 1.0))
    width = 2 * len(frequencies)

    def pair_with(turns: float) -> float:
        """Return which pair turns so often within the original context."""
        length = scaling.original_context / (turns * 2 * math.pi)
        return width * math.log(length) / (2 * math.log(theta))

    first, last = pair_with(scaling.beta_fast), pair_with(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, width - 1)
    blended = (np.arange(width // 2) - first) / (last - first or 0.001)
    return np.asarray(1 - blended.clip(0.0, 1.0))
