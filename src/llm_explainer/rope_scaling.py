"""Rotations for contexts longer than those trained on: RoPE's frequencies, changed by a rule.

RoPE turns channel pair i of a head by θ^(-2i/H) radians a token. Beyond the trained context slow
pairs reach angles that the model never saw; a rule slows them down, and leaves fast ones, which
tell neighbours apart, as they are. All three tellings of the model take their frequencies here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from llm_explainer.errors import ConfigError
from llm_explainer.settings import require_float, require_int

Frequencies = NDArray[np.float64]
Rule = Literal["linear", "llama3", "yarn"]

_LLAMA3, _YARN = ("low_freq_factor", "high_freq_factor"), ("beta_fast", "beta_slow")
_FACTORS = ("factor", *_LLAMA3, *_YARN, "attention_factor")


@dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """A rule and its numbers; a rule reads over those of the others.

    linear: every frequency divided by ``factor`` (Chen et al. 2023, position interpolation).
    llama3: pairs that turn less than ``low_freq_factor`` times within ``original_context`` are
    divided, those with more than ``high_freq_factor`` turns stay, those between are blended
    (Llama Team 2024, section 3.2, and the released code).
    yarn: the same with ``beta_slow`` and ``beta_fast`` turns, blended along the channels, and
    queries and keys lengthened by ``attention_factor`` (Peng et al. 2023, YaRN, section 3).

    Raises:
        ConfigError: a number that cannot work.
    """

    rule: Rule
    factor: float
    original_context: int = 0  # tokens; llama3, yarn
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float = 1.0
    truncate: bool = True  # yarn: whether the blend begins and ends at whole channels

    def __post_init__(self) -> None:
        if self.rule not in get_args(Rule):
            known = ", ".join(get_args(Rule))
            raise ConfigError(f"rope_scaling's rule is {self.rule!r}; choose one of {known}")
        for name in _FACTORS:
            require_float(f"rope_scaling's {name}", getattr(self, name), low=1e-6, below=1e6)
        require_int("rope_scaling's original_context", self.original_context, at_least=0)
        if self.rule != "linear" and self.original_context == 0:
            raise ConfigError(f"rope_scaling by {self.rule} needs original_context, in tokens")
        if self.rule == "llama3" and self.low_freq_factor >= self.high_freq_factor:
            raise ConfigError(
                f"rope_scaling's low_freq_factor {self.low_freq_factor} must be under "
                f"high_freq_factor {self.high_freq_factor}"
            )
        if not isinstance(self.truncate, bool):
            raise ConfigError(f"rope_scaling's truncate is {self.truncate!r}; true or false")

    @property
    def strength(self) -> float:
        """What rotated queries and keys are multiplied by."""
        return self.attention_factor if self.rule == "yarn" else 1.0

    def slowed(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """Return the frequencies by the rule: (H/2,), radians a token, fastest first."""
        if self.rule == "linear":
            return frequencies / self.factor
        keep = self._kept(frequencies, theta)  # (H/2,)
        return frequencies * keep + frequencies / self.factor * (1 - keep)

    def _kept(self, frequencies: Frequencies, theta: float) -> Frequencies:
        """Return the share of each frequency that stays, (H/2,): 1 for the fast, 0 for the slow."""
        if self.rule == "llama3":
            turns = self.original_context * frequencies / (2 * math.pi)
            span = self.high_freq_factor - self.low_freq_factor
            return np.asarray(((turns - self.low_freq_factor) / span).clip(0.0, 1.0))
        n_pairs = len(frequencies)
        width = 2 * n_pairs
        first, last = (self._pair_with(n, width, theta) for n in (self.beta_fast, self.beta_slow))
        if self.truncate:
            first, last = math.floor(first), math.ceil(last)
        first, last = max(first, 0), min(last, width - 1)
        blended = (np.arange(n_pairs) - first) / (last - first or 0.001)
        return np.asarray(1 - blended.clip(0.0, 1.0))

    def _pair_with(self, turns: float, width: int, theta: float) -> float:
        """Return which pair of a head of ``width`` turns so often within the original context."""
        return width * math.log(self.original_context / (turns * 2 * math.pi)) / 2 / math.log(theta)

    @classmethod
    def of(cls, values: Any) -> RopeScaling:
        """Return what ``dataclasses.asdict`` made of one.

        Raises:
            ConfigError: something else.
        """
        try:
            return cls(**values)
        except TypeError:
            raise ConfigError(
                f"rope_scaling is {values!r}; it takes a rule and its numbers"
            ) from None


def rope_frequencies(
    width: int, theta: float, scaling: RopeScaling | None = None
) -> tuple[Frequencies, float]:
    """Return by how many radians a token each pair is turned, (H/2,), and the strength.

    θ^(-2i/H) for pair i of a head of width H (Su et al. 2021, section 3.2.2), by the rule of
    ``scaling``. Rotated queries and keys are multiplied by the strength.
    """
    frequencies: Frequencies = theta ** (-np.arange(0, width, 2) / width)  # (H/2,)
    if scaling is None:
        return frequencies, 1.0
    return scaling.slowed(frequencies, theta), scaling.strength
