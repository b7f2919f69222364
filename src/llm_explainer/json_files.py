"""Reading a JSON file that may be damaged, or meant to harm: one way, for whoever reads one."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import Any, NoReturn


class NotJsonObjectError(ValueError):
    """What is wrong with a file, as the rest of a sentence that begins with its name."""


def read_json_object(path: Path, most_bytes: int) -> dict[str, Any]:
    """Return the JSON object in a file of at most ``most_bytes``.

    Raises:
        NotJsonObjectError: it is larger, not UTF-8, not JSON, nested too deeply, or no object.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise NotJsonObjectError(f"is larger than {most_bytes} bytes; it cannot be right")
    try:
        document = json.loads(data.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise NotJsonObjectError("is not UTF-8 text; it is damaged or no JSON") from None
    except RecursionError:
        raise NotJsonObjectError("is nested too deeply; it is damaged") from None
    except ValueError as error:
        raise NotJsonObjectError(
            f"is not valid JSON ({error}); it is damaged, or it may be cut off"
        ) from None
    if not isinstance(document, dict):
        raise NotJsonObjectError(f"holds {reprlib.repr(document)}; a JSON object is expected")
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
