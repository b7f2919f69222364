"""Documents of a JSONL file: on each line a JSON object, whose ``text`` is one."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from llm_explainer.errors import CorpusError

_MOST_CHARS = 1 << 26  # of a line: more is no document, but a file that is no JSONL


def read_jsonl_texts(blocks: Iterable[str], source: object) -> Iterator[str]:
    """Yield the text of each line that has one; blank lines and empty texts are skipped.

    Args:
        blocks: the file, in pieces that may end anywhere.
        source: where it comes from, for messages.

    Raises:
        CorpusError: a line that is no JSON object, or has no text; named by its number.
    """
    for number, line in enumerate(_lines(blocks, source), 1):
        if line.strip():
            text = _object(line, f"{source}, line {number:,}").get("text")
            if not isinstance(text, str):
                has = ", ".join(map(repr, list(_object(line, source))[:5])) or "nothing"
                raise CorpusError(
                    f"{source}, line {number:,} has no text (it has {has}); a corpus takes a text "
                    "under 'text' on every line"
                )
            if text.strip():
                yield text.strip()


def has_texts(path: Path) -> bool:
    """Return whether the first line that is not blank has a text."""
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        for line in file:
            if line.strip():
                try:
                    value = json.loads(line.removeprefix(b"\xef\xbb\xbf"))
                except (ValueError, RecursionError):
                    return True  # damaged, which is said where it is read
                return isinstance(value, dict) and isinstance(value.get("text"), str)
    return False


def _object(line: str, where: object) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{where} is no JSON ({error}); it takes a JSON object a line") from None
    if not isinstance(value, dict):
        raise CorpusError(f"{where} holds no JSON object; it takes one a line, with a 'text'")
    return value


def _lines(blocks: Iterable[str], source: object) -> Iterator[str]:
    pending = ""
    for block in blocks:
        *lines, pending = (pending + block).split("\n")
        yield from lines
        if len(pending) > _MOST_CHARS:
            raise CorpusError(f"{source} has a line of over {_MOST_CHARS:,} characters")
    yield pending
