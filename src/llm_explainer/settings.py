"""Dataclass fields that explain themselves, so that a setting is described in one place.

The commands make an option out of each such field, with its default and its help.
"""

from __future__ import annotations

import dataclasses
from typing import Any

REQUIRED = dataclasses.MISSING


def setting(default: Any, help_text: str) -> Any:
    """Return a dataclass field with a default (or ``REQUIRED``) and an explanation."""
    return dataclasses.field(default=default, metadata={"help": help_text})


def help_of(field: dataclasses.Field[Any]) -> str:
    """Return a field's explanation."""
    return str(field.metadata["help"])
