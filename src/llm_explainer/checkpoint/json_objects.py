"""Reading JSON that may be damaged, or meant to harm: types are checked and sizes bounded."""

from __future__ import annotations

import math
import reprlib
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from llm_explainer.errors import CheckpointError
from llm_explainer.json_files import NotJsonObjectError, read_json_object

T = TypeVar("T")

_MAX_BYTES = 1 << 26  # 64 MiB: a thousand times what these files need
_MAX_SIZE = 1 << 24  # the largest width, depth or vocabulary that can be meant


def require_file(path: Path) -> None:
    """Refuse what is no regular file: nothing there, a directory, a device, a pipe.

    Raises:
        CheckpointError: says which.
        OSError: no permission to look.
    """
    if not path.is_file():
        reason = "is not a regular file" if path.exists() else "is missing"
        raise CheckpointError(f"{path} {reason}; the checkpoint is incomplete")


def read_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file.

    Raises:
        CheckpointError: a file that is missing, too large, or holds anything else.
        OSError: it cannot be read.
    """
    require_file(path)
    try:
        return read_json_object(path, _MAX_BYTES)
    except NotJsonObjectError as error:
        raise CheckpointError(f"{path} {error}") from None


class JsonObject:
    """The values of a JSON object, read by type. A key that is null counts as absent.

    Args:
        values: the object.
        source: where it came from, for messages.
    """

    def __init__(self, values: dict[str, Any], source: object) -> None:
        self._values, self._source = values, source

    def get(self, key: str) -> Any:
        """Return the value as it is, None where it is absent."""
        return self._values.get(key)

    def size(self, key: str, default: int | None = None, most: int = _MAX_SIZE) -> int:
        """Return a whole number from 1 to ``most``.

        Raises:
            CheckpointError: anything else; absent without a default.
        """
        value = self._or_default(key, default)
        # A bool is an int to Python.
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            self.refuse(key, f"a whole number from 1 to {most} is expected")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a finite number.

        Raises:
            CheckpointError: anything else; absent without a default.
        """
        value = self._or_default(key, default)
        try:
            # A whole number of hundreds of digits is valid JSON, but no float.
            valid = not isinstance(value, bool) and math.isfinite(value)
        except (TypeError, OverflowError):
            valid = False
        if not valid:
            self.refuse(key, "a number is expected")
        return float(value)

    def flag(self, key: str, default: bool | None = None) -> bool:
        """Return true or false.

        Raises:
            CheckpointError: anything else; absent without a default.
        """
        value = self._or_default(key, default)
        if not isinstance(value, bool):
            self.refuse(key, "true or false is expected")
        return value

    def choice(self, key: str, choices: dict[str, T], default: str | None = None) -> T:
        """Return what the text under ``key`` stands for.

        Raises:
            CheckpointError: a value that is not among ``choices``.
        """
        value = self._or_default(key, default)
        if not isinstance(value, str) or value not in choices:
            self.refuse(key, f"{' or '.join(choices)} is supported")
        return choices[value]

    def section(self, key: str) -> JsonObject:
        """Return the object under ``key``, empty where it is absent.

        Raises:
            CheckpointError: not an object.
        """
        value = self._or_default(key, {})
        if not isinstance(value, dict):
            self.refuse(key, "a JSON object is expected")
        return JsonObject(value, f"{self._source}: {key}")

    def updated(self, changes: dict[str, Any]) -> JsonObject:
        """Return an object with some values changed or added."""
        return JsonObject({**self._values, **changes}, self._source)

    def names(self) -> list[str]:
        """Return the names of the values."""
        return list(self._values)

    def refuse(self, key: str, expected: str) -> NoReturn:
        """Raise the error for the value under ``key``.

        Raises:
            CheckpointError: always.
        """
        received = reprlib.repr(self._values[key]) if key in self._values else "missing"
        raise CheckpointError(f"{self._source}: {key} is {received}; {expected}")

    def _or_default(self, key: str, default: T | None) -> Any:
        value = self._values.get(key)
        return default if value is None else value
