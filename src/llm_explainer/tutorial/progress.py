"""How far a reader has come: a small file of the reader's, beside the exercises' files.

    learning/
        progress.json
        04-2-softmax.py     what was written for chapter 4, exercise 2

In the folder in which the commands are run, as ``runs/`` and ``tokens/`` are.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from llm_explainer.errors import ConfigError
from llm_explainer.files import write_atomically
from llm_explainer.json_files import NotJsonObjectError, read_json_object

FOLDER = Path("learning")
_FILE = "progress.json"
_MOST_BYTES = 1_000_000


@dataclass
class Result:
    """What came of an exercise so far."""

    passed: bool = False
    tries: int = 0
    hint: str = ""  # of the last try that was wrong


@dataclass
class Progress:
    """The chapters read to their end, and the exercises tried, such as "4.2"."""

    folder: Path = FOLDER
    read: set[int] = field(default_factory=set)
    exercises: dict[str, Result] = field(default_factory=dict)

    def has_passed(self, name: str) -> bool:
        """Return whether an exercise was solved."""
        return self.exercises.get(name, Result()).passed

    def note_try(self, name: str, *, passed: bool, hint: str) -> None:
        """Keep what came of a try of an exercise; one that has passed stays so.

        Raises:
            OSError: as ``save``.
        """
        before = self.exercises.get(name, Result())
        kept = "" if passed or before.passed else hint
        self.exercises[name] = Result(passed or before.passed, before.tries + 1, kept)
        self.save()

    def save(self) -> None:
        """Write the reader's file, all at once.

        Raises:
            OSError: no permission, or no space.
        """
        document = {
            "chapters_read": sorted(self.read),
            "exercises": {name: asdict(result) for name, result in self.exercises.items()},
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        data = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        write_atomically(self.folder / _FILE, data.encode())


def load_progress(folder: Path = FOLDER) -> Progress:
    """Return how far the reader is; at the beginning where there is no file yet.

    Raises:
        ConfigError: a file that is damaged.
        OSError: it cannot be read.
    """
    path = folder / _FILE
    if not path.exists():
        return Progress(folder)
    try:
        return _from_document(folder, read_json_object(path, _MOST_BYTES))
    except NotJsonObjectError as error:
        raise ConfigError(f"{path} {error}; remove it to begin again") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ConfigError(f"{path} is not a record of progress; remove it to begin again") from None


def _from_document(folder: Path, document: dict[str, Any]) -> Progress:
    read = {int(number) for number in document["chapters_read"]}
    exercises = {
        str(name): Result(bool(entry["passed"]), int(entry["tries"]), str(entry["hint"]))
        for name, entry in document["exercises"].items()
    }
    return Progress(folder, read, exercises)
