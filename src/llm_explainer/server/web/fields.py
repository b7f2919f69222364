"""The values of a request: each of its type and in its range, or refused by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llm_explainer.server.web.problems import Problem

_SHOWN = 60


class Fields:
    """The parameters of a request. null is as good as none.

    Args:
        values: by name.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def get(self, name: str) -> Any:
        """Return a value as it is; None where there is none."""
        return self._values.get(name)

    def text(self, name: str) -> str | None:
        """Return a text."""
        value = self.get(name)
        if value is not None and not isinstance(value, str):
            raise refused(name, value, "a text")
        return value

    def flag(self, name: str) -> bool:
        """Return a truth value, by default false."""
        value = self.get(name)
        if value is not None and not isinstance(value, bool):
            raise refused(name, value, "true or false")
        return bool(value)

    def whole(self, name: str, low: int, high: int) -> int | None:
        """Return a whole number from ``low`` to ``high``."""
        value = self.get(name)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise refused(name, value, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float) -> float | None:
        """Return a number from ``low`` to ``high``."""
        value = self.get(name)
        if value is None:
            return None
        ok = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not ok or not low <= value <= high:
            raise refused(name, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        """Return a text or a list of texts, none of them empty, by default none."""
        value = self.get(name)
        values = [value] if isinstance(value, str) else [] if value is None else value
        ok = isinstance(values, list) and len(values) <= most
        if not ok or not all(isinstance(each, str) and each for each in values):
            raise refused(name, value, f"a text, or up to {most}, none of them empty")
        return tuple(values)


def refused(name: str, value: object, takes: str) -> Problem:
    """Return the problem of a value that a parameter cannot have."""
    whole = "missing" if value is None else repr(value)
    shown = whole if len(whole) <= _SHOWN else f"{whole[:_SHOWN]}..."
    return Problem(400, f"{name} is {shown}; it takes {takes}", param=name, code="invalid_value")
