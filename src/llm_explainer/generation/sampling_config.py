"""The settings of a generation: how the next token is chosen, and when to stop."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsIndex, TypedDict

from llm_explainer.errors import GenerationError
from llm_explainer.settings import setting


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """How a text is continued.

    The first five apply in the order in which they stand here: each changes or cuts the
    distribution of the next token that the one before has left. None leaves it as it is.

    Raises:
        GenerationError: a value that cannot work.
    """

    repetition_penalty: float = setting(1.0, "over 1: tokens seen before become less likely")
    temperature: float = setting(0.8, "0 always takes the likeliest token; 1 believes the model")
    top_k: int | None = setting(None, "take only the k likeliest tokens")
    top_p: float | None = setting(0.95, "take only the likeliest tokens, up to this share")
    min_p: float | None = setting(None, "take only tokens over this share of the likeliest")
    seed: int = setting(0, "the same seed gives the same text")
    max_tokens: int = setting(100, "most tokens to add")
    stop: Sequence[str] = setting((), "end before this text")
    windowed: bool = setting(False, "forget the start of a text that outgrows the context")
    heal: bool = setting(True, "let the model write the last word of a text anew, and perhaps on")

    def __post_init__(self) -> None:
        """Check everything."""
        _require_number("repetition_penalty", self.repetition_penalty, "over 0", above=0)
        _require_number("temperature", self.temperature, "of 0 or more", low=0)
        if self.top_k is not None:
            _require_whole("top_k", self.top_k, at_least=1)
        if self.top_p is not None:
            _require_number("top_p", self.top_p, "over 0, up to 1", above=0, high=1)
        if self.min_p is not None:
            _require_number("min_p", self.min_p, "from 0 to 1", low=0, high=1)
        _require_whole("seed", self.seed, at_least=0)
        _require_whole("max_tokens", self.max_tokens, at_least=0)
        if isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop):
            raise GenerationError(f"stop is {self.stop!r}; it takes a list of texts, none empty")
        for switch in ("windowed", "heal"):
            if not isinstance(getattr(self, switch), bool):
                value = getattr(self, switch)
                raise GenerationError(f"{switch} is {value!r}; it takes true or false")
        object.__setattr__(self, "stop", tuple(self.stop))

    @property
    def takes_likeliest(self) -> bool:
        """Whether the model's highest score alone decides."""
        return self.temperature == 0 and self.repetition_penalty == 1


class SamplingOptions(TypedDict, total=False):
    """The fields of ``SamplingConfig`` as keyword arguments; its defaults stand for the others."""

    repetition_penalty: float
    temperature: float
    top_k: int | None
    top_p: float | None
    min_p: float | None
    seed: int
    max_tokens: int
    stop: Sequence[str]
    windowed: bool
    heal: bool


def _require_number(
    field: str,
    value: float,
    takes: str,
    *,
    low: float = -math.inf,
    above: float = -math.inf,
    high: float = math.inf,
) -> None:
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not (ok and low <= value <= high and value > above):
        raise GenerationError(f"{field} is {value!r}; it takes a number {takes}")


def _require_whole(field: str, value: SupportsIndex, *, at_least: int) -> None:
    # ``operator.index`` takes NumPy's integers as well, and refuses 1.5 and "1".
    try:
        ok = not isinstance(value, bool) and operator.index(value) >= at_least
    except TypeError:
        ok = False
    if not ok:
        raise GenerationError(f"{field} is {value!r}; it takes a whole number from {at_least} on")
