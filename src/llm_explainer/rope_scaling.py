"""Rotations for contexts longer than those trained on: the settings of a rule.

What the rule does is in ``rope_frequencies.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from llm_explainer.errors import ConfigError
from llm_explainer.settings import require_float, require_int

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
