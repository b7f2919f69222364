"""Grading an answer: the first array that is wrong, where in it, and what the usual cause is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llm_explainer.tutorial.exercises.answers import Arrays
from llm_explainer.tutorial.exercises.hints import (
    Array,
    agrees,
    find_cause,
    wrong_entries,
)

MOST_ENTRIES = 3
"""So many wrong entries are shown."""


@dataclass(frozen=True)
class Grade:
    """What came of an answer."""

    right: tuple[str, ...]  # names of the arrays that are right
    wrong: str = ""  # name of the first one that isn't
    cause: str = ""
    hint: str = ""
    entries: tuple[str, ...] = ()  # as in "dk[2, 5]: yours 0.31, right -0.12, ratio -2.6"

    @property
    def passed(self) -> bool:
        """Whether all is right."""
        return not self.wrong


def grade(mine: Arrays, right: Arrays, factors: Sequence[tuple[str, float]] = ()) -> Grade:
    """Compare an answer's arrays with the right ones, in their order."""
    good = [name for name in right if name in mine and agrees(mine[name], right[name])]
    for name, array in right.items():
        if name in good:
            continue
        if name not in mine:
            return Grade(tuple(good), name, "missing", f"{name} is missing")
        cause, hint = find_cause(mine[name], array, factors)
        return Grade(tuple(good), name, cause, hint, _entries(name, mine[name], array))
    if more := [name for name in mine if name not in right]:
        return Grade(tuple(good), more[0], "more", f"{more[0]} is not asked for: it isn't learned")
    return Grade(tuple(good))


def _entries(name: str, mine: Array, right: Array) -> tuple[str, ...]:
    """Return the entries that are off most, yours beside the right ones."""
    if mine.shape != right.shape:
        return ()
    off = wrong_entries(mine, right)
    worst = np.argsort(-off, axis=None, kind="stable")[:MOST_ENTRIES]
    shown = []
    for place in sorted(worst[off.reshape(-1)[worst] > 0]):
        index = np.unravel_index(place, mine.shape)
        a, b = float(mine[index]), float(right[index])
        ratio = f", ratio {a / b:.3g}" if b else ""
        where = f"[{', '.join(str(i) for i in index)}]" if index else ""
        shown.append(f"{name}{where}: yours {a:.4g}, right {b:.4g}{ratio}")
    return tuple(shown)
