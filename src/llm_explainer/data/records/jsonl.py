"""Reading records from a JSONL file: one JSON object a line, as other trainers take them.

::

    {"prompt": "Who lost it?", "completion": " Pip"}
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    {"text": "Once upon a time."}

Lines may be of different kinds. Other keys beside these are left alone, such as an ``id``; a key
that would change what is learned, and that we do not know, is refused.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_explainer.data.records.record import Conversation, Message, Pair, Passage, Record
from llm_explainer.errors import CorpusError
from llm_explainer.spelling import spelled_out

ROLES = ("system", "user", "assistant")
KINDS = ("prompt", "completion", "messages", "text")
_UNREADABLE = ("tools", "functions", "documents")
_MAX_LINE = 1 << 26  # 64 MiB: no record, but a file that is no text
_MOST_NAMED = 5
_BOM = b"\xef\xbb\xbf"


class _WrongRecordError(Exception):
    """What is wrong with a record, as the rest of a sentence that begins with its line."""


def read_records(path: str | Path) -> list[Record]:
    """Return the records of a JSONL file; blank lines are skipped.

    Raises:
        CorpusError: a file that cannot be read or holds no record; a record that is wrong, named
            by its line and the reason, and the lines of the next that are.
    """
    name = spelled_out(path)
    try:
        records = list(_read(Path(path), name))
    except (OSError, ValueError) as error:  # a path with a null is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise CorpusError(
            f"cannot read {name}: {reason}; it takes a JSONL file, one record a line"
        ) from None
    if not records:
        raise CorpusError(f"{name} is empty; it takes a JSON object a line, one or more")
    return records


def _read(path: Path, name: str) -> Iterator[Record]:
    wrong: list[str] = []  # what is wrong with the first, then numbers of lines
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            if number == 1:
                line = line.removeprefix(_BOM)  # editors put it there; it is no text
            if not line.strip():
                continue
            source = f"{name}, line {number:,}"
            try:
                record = _record(_object(line), source)
            except _WrongRecordError as error:
                wrong.append(f"{number:,}" if wrong else f"{source} {error}")
                if len(line) > _MAX_LINE:
                    break  # the file is no text, and may have no end
                continue
            if not wrong:
                yield record
    if wrong:
        raise CorpusError(_told(*wrong))


def _told(first: str, *others: str) -> str:
    """Return what is wrong with the first of some lines, and the numbers of the next ones."""
    if not others:
        return first
    lines = "line is" if len(others) == 1 else "lines are"
    places = ", ".join(others[:_MOST_NAMED]) + (", ..." if len(others) > _MOST_NAMED else "")
    return f"{first}; {len(others):,} more {lines} wrong: {places}"


def _object(line: bytes) -> dict[str, Any]:
    if len(line) > _MAX_LINE:
        raise _WrongRecordError(f"is longer than {_MAX_LINE >> 20} MiB; it cannot be a record")
    try:
        value = json.loads(line.decode(), object_pairs_hook=_without_duplicates)
    except UnicodeDecodeError as error:
        raise _WrongRecordError(
            f"is not UTF-8: byte {line[error.start]:#04x} at offset {error.start:,}; save the file "
            "as UTF-8 text"
        ) from None
    except RecursionError:
        raise _WrongRecordError("is nested too deeply; it cannot be a record") from None
    except ValueError as error:
        raise _WrongRecordError(f"is not valid JSON ({error})") from None
    if not isinstance(value, dict):
        raise _WrongRecordError(f"holds {_type(value)}; it takes a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _WrongRecordError(f"has the key {_short(twice)} twice; it takes each once")
    return values


def _record(values: dict[str, Any], source: str) -> Record:
    """Return the record in an object, of the kind that its keys say."""
    found = [kind for kind in KINDS if kind in values]
    unreadable = [key for key in _UNREADABLE if values.get(key)]
    if unreadable:
        raise _WrongRecordError(f"has {unreadable[0]}, which cannot be learned from; leave it out")
    match found:
        case ["prompt", "completion"]:
            prompt = _text(values, "prompt", may_be_empty=True)
            return Pair(prompt, _text(values, "completion"), source)
        case ["messages"]:
            return Conversation(_messages(values["messages"]), source)
        case ["text"]:
            return Passage(_text(values, "text"), source)
        case ["prompt"] | ["completion"]:
            other = "completion" if found == ["prompt"] else "prompt"
            raise _WrongRecordError(f"has a {found[0]} and no {other}")
        case []:
            keys = ", ".join(map(_short, list(values)[:5])) or "no keys"
            raise _WrongRecordError(
                f"has {keys}; it takes prompt and completion, messages, or text"
            )
        case _:
            raise _WrongRecordError(f"has {' and '.join(found)}; it takes one kind of record only")


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        what = "an empty list" if value == [] else _type(value)
        raise _WrongRecordError(f"has {what} as messages; it takes a list of one or more")
    messages = []
    for place, turn in enumerate(value, 1):
        try:
            messages.append(_message(turn))
        except _WrongRecordError as error:
            raise _WrongRecordError(f"has a message {place} that {error}") from None
    return tuple(messages)


def _message(turn: Any) -> Message:
    if not isinstance(turn, dict):
        raise _WrongRecordError(f"is {_type(turn)}; it takes an object with role and content")
    for key in ("role", "content"):
        if key not in turn:
            raise _WrongRecordError(f"has no {key}")
    more = [key for key in turn if key not in ("role", "content") and turn[key] is not None]
    if more:
        raise _WrongRecordError(f"has {_short(more[0])}; it takes role and content only")
    role = turn["role"]
    if role not in ROLES:
        raise _WrongRecordError(f"has the role {_short(role)}; it takes {', '.join(ROLES)}")
    return Message(role, _text(turn, "content", may_be_empty=role != "assistant"))


def _text(values: dict[str, Any], key: str, *, may_be_empty: bool = False) -> str:
    text = values[key]
    if not isinstance(text, str):
        raise _WrongRecordError(f"has {_type(text)} as {key}; it takes a text")
    if not may_be_empty and not text.strip():
        raise _WrongRecordError(f"has an empty {key}; it takes some text")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _WrongRecordError(f"has half a character (a lone surrogate) in its {key}") from None
    return text


def _type(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}
    return "null" if value is None else names.get(type(value), "a number")


def _short(value: Any) -> str:
    return spelled_out(reprlib.repr(value))
