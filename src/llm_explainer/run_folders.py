"""Which checkpoint the folder of a run means, for all who read one.

A run is its ``run.json``, its checkpoints ``step-000400/`` and its list of own files. Links beside
them are for other programs and for people: a copy may have lost them, or may have a file in their
place that is older than the newest checkpoint. So nothing here looks at them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from llm_explainer.errors import CheckpointError

RECORD = "run.json"
OWN_FILES = "run-files.json"
MILESTONES = "milestones"
FORMAT = "llm-explainer run, 1"
_STEP = re.compile(r"step-(\d{6,})", re.ASCII)
_MAX_BYTES = 1 << 20


def checkpoint_name(step: int) -> str:
    """Return what the checkpoint of a step is called."""
    return f"step-{step:06d}"


def steps_of(folder: Path) -> list[int]:
    """Return the steps that have a checkpoint, lowest first.

    A checkpoint takes its name only when it is whole.

    Raises:
        OSError: the folder cannot be read.
    """
    if not folder.is_dir():
        return []
    matches = (_STEP.fullmatch(entry.name) for entry in folder.iterdir())
    steps = {int(match[1]) for match in matches if match}
    return sorted(step for step in steps if (folder / checkpoint_name(step)).is_dir())


def milestones_of(folder: Path) -> list[tuple[int, Path]]:
    """Return the early states of a model that its run keeps: step and checkpoint, in order.

    Raises:
        OSError: the folder cannot be read.
    """
    place = folder / MILESTONES
    return [(step, place / checkpoint_name(step)) for step in steps_of(place)]


def history_of(folder: Path) -> list[tuple[int, Path]]:
    """Return all there is of how a run's model learned: milestones and checkpoints, in order.

    Raises:
        OSError: the folder cannot be read.
    """
    newest = {step: folder / checkpoint_name(step) for step in steps_of(folder)}
    return sorted((newest | dict(milestones_of(folder))).items())


def read_own_files(folder: Path) -> dict[str, Any]:
    """Return what the run's list of own files says; empty where there is none, or none of ours.

    Raises:
        OSError: it cannot be read.
    """
    content = read_json(folder / OWN_FILES)
    return content if content.get("format") == FORMAT else {}


def is_run(folder: Path) -> bool:
    """Whether a folder is one of a run, by the files that only runs have."""
    return bool(read_own_files(folder)) or {"model", "train"} <= read_json(folder / RECORD).keys()


def meant_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that a run's folder stands for: the newest, or where it says so, the
    best. None where it is no run's folder, or has no checkpoint.

    Raises:
        OSError: the folder cannot be read.
    """
    steps = steps_of(folder) if is_run(folder) else []
    if not steps:
        return None
    own = read_own_files(folder)
    if own.get("means") == "best":
        best = str(own.get("best"))
        if best in [checkpoint_name(step) for step in steps]:
            return folder / best
    return folder / checkpoint_name(steps[-1])


def best_checkpoint(folder: Path) -> Path:
    """Return the checkpoint of a run whose validation loss was the lowest.

    Raises:
        CheckpointError: it is no run's folder, or one that was never measured.
        OSError: the folder cannot be read.
    """
    best = folder / str(read_own_files(folder).get("best"))
    if not is_run(folder) or best.name not in map(checkpoint_name, steps_of(folder)):
        raise CheckpointError(
            f"{folder} has no best checkpoint; it takes a run that was measured while it learned, "
            "or leave out --best"
        )
    return best


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file; empty where there is none."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MAX_BYTES))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
