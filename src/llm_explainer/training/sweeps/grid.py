"""Every combination of the values of some options, each with every seed."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_UNSAFE = re.compile(r"[^\w.+=-]+")
"""What a folder's name does without."""


@dataclass(frozen=True)
class Combination:
    """One value of each option that is swept."""

    values: tuple[tuple[str, str], ...]  # (option, value) as people read them

    def __str__(self) -> str:
        return ", ".join(f"{option} {value}" for option, value in self.values) or "as it is"

    def run_name(self, seed: int) -> str:
        """Return the name of a run's folder, such as ``learning-rate=0.001,seed=0``."""
        parts = [*self.values, ("seed", str(seed))]
        return ",".join(_UNSAFE.sub("_", f"{option}={value}") for option, value in parts)


def combinations(choices: Mapping[str, Sequence[str]]) -> Iterator[Combination]:
    """Yield one value of each option, in every way, the last option's changing first.

    >>> [str(each) for each in combinations({"rank": ["4", "8"], "alpha": ["16"]})]
    ['rank 4, alpha 16', 'rank 8, alpha 16']
    """
    for values in itertools.product(*choices.values()):
        yield Combination(tuple(zip(choices, values, strict=True)))


def write_value(value: Any) -> str:
    """Return a value of a setting as people read it.

    >>> write_value(1e-4), write_value(True), write_value("rope")
    ('0.0001', 'yes', 'rope')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
