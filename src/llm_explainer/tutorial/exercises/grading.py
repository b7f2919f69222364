"""Grading an answer: the first array that is wrong, where in it, and what the usual cause is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llm_explainer.tutorial.exercises.answers import Arrays, Call, right_answer
from llm_explainer.tutorial.exercises.hints import (
    Array,
    agrees,
    find_cause,
    wrong_entries,
)
from llm_explainer.tutorial.exercises.table import Exercise

_VAGUE = {"swapped": 0, "places": 2, "term": 3}
"""How little a cause says, of several; all others are 1."""

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


def grade(mine: Arrays, right: Arrays, call: Call) -> Grade:
    """Compare an answer's arrays with the right ones.

    Of several wrong gradients the first is named whose numbers give their cause away. But while
    the result is wrong, that comes first.
    """
    recorded = set(right) - set(mine) if call.records else set()  # as one likes
    wanted = {name: array for name, array in right.items() if name not in recorded}
    good = tuple(n for n in wanted if n in mine and agrees(mine[n], wanted[n]))
    found = [_judge(name, mine, wanted, call, good) for name in wanted if name not in good]
    if not found:
        return Grade(good)
    is_result = not found[0].wrong.startswith(("d", "grads"))
    return found[0] if is_result else min(found, key=lambda one: _VAGUE.get(one.cause, 1))


def _judge(name: str, mine: Arrays, right: Arrays, call: Call, good: tuple[str, ...]) -> Grade:
    """Say what is wrong with one array."""
    if name not in mine:
        return Grade(good, name, "missing", f"{name} is missing")
    entries = _entries(name, mine[name], right[name])
    for other, array in right.items():
        if other != name and agrees(mine[name], array):
            return Grade(good, name, "swapped", f"it is what {other} is to be", entries)
    base = call.base.get(name, np.array(0))
    a, b = mine[name], right[name]
    if a.shape == b.shape and base.any():
        a, b = a - base, b - base  # what changed tells more than what came of it
    cause, hint = find_cause(a, b, call.factors)
    return Grade(good, name, cause, hint, entries)


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


def grade_all(mine: list[Arrays], exercise: Exercise) -> Grade:
    """Grade an answer on all that it was tried on: the first try that is wrong, or the last."""
    function = exercise.right_function()
    for arrays, call in zip(mine, exercise.make_calls(), strict=True):
        result = grade(arrays, right_answer(function, call), call)
        if not result.passed:
            return result
    return result
