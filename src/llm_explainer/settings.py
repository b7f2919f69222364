"""Dataclass fields that explain themselves, so that a setting is described in one place.

The commands make an option out of each such field, with its default and its help.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from llm_explainer.errors import ConfigError

REQUIRED = dataclasses.MISSING


def setting(default: Any, help_text: str) -> Any:
    """Return a dataclass field with a default (or ``REQUIRED``) and an explanation."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def help_of(field: dataclasses.Field[Any]) -> str:
    """Return a field's explanation."""
    return str(field.metadata["help"])


def require_int(field: str, value: object, *, at_least: int) -> None:
    """Refuse what is no whole number, or is under a limit.

    Raises:
        ConfigError: names the field, and says what would do.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
        raise ConfigError(f"{field} is {value!r}; it takes a whole number of {at_least} or more")


def require_float(field: str, value: object, *, low: float, below: float = math.inf) -> None:
    """Refuse what is no number from ``low`` to under ``below``.

    Raises:
        ConfigError: names the field, and says what would do.
    """
    ok = isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value < below
    if not ok:
        upper = "" if below == math.inf else f" and under {below:g}"
        raise ConfigError(f"{field} is {value!r}; it takes a number of {low:g} or more{upper}")
