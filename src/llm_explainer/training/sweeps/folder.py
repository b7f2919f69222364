"""The folder of a sweep: a record of what was asked for, and a run's folder for each combination.

    runs/sweep/
        sweep.json                      the script, its options, which runs diverged and where
        learning-rate=0.001,seed=0/     an ordinary run
        sweep.png                       the picture

The record has what every run shares. More values or seeds may be asked for later: runs that are
there are taken as they are.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llm_explainer.checkpoint.json_objects import read_object
from llm_explainer.errors import CheckpointError, Diverged
from llm_explainer.files import write_atomically
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.names import make_free_folder
from llm_explainer.training.runs.outcome import is_finished

NAME, RECORD, PICTURE = "sweep", "sweep.json", "sweep.png"
FORMAT = "llm-explainer sweep, 1"

State = Literal["new", "begun", "finished", "diverged"]


@dataclass(frozen=True)
class SweepRecord:
    """What was asked for."""

    script: str
    swept: dict[str, list[str]]  # the values of each option that has several
    fixed: dict[str, str]  # the others that were given
    seeds: list[int]

    def can_follow(self, earlier: SweepRecord) -> bool:
        """Whether runs of an earlier record may stand beside this one's."""
        same = (self.script, self.fixed, list(self.swept))
        return same == (earlier.script, earlier.fixed, list(earlier.swept))


class SweepFolder:
    """One sweep's folder. Creating the object touches nothing on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def picture(self) -> Path:
        """The PNG."""
        return self.path / PICTURE

    def run(self, name: str) -> RunFolder:
        """Return the folder of a run."""
        return RunFolder(self.path / name)

    def begin(self, record: SweepRecord) -> None:
        """Make the folder this sweep's.

        Raises:
            CheckpointError: it holds another sweep or other files, or cannot be written.
        """
        try:
            if (self.path / RECORD).is_file():
                if not record.can_follow(self.read_record()):
                    raise CheckpointError(
                        f"{self.path} holds a sweep over other options; choose another --out"
                    )
            elif self.path.is_dir() and any(self.path.iterdir()):
                raise CheckpointError(
                    f"{self.path} holds files that are not a sweep's; choose another --out"
                )
            self.path.mkdir(parents=True, exist_ok=True)
            self._write(record, self.divergences())
        except OSError as error:
            raise CheckpointError(
                f"cannot write {self.path}: {error.strerror}; choose an --out that is writable"
            ) from error

    def state(self, name: str) -> State:
        """Return how far a run has come."""
        if name in self.divergences():
            return "diverged"
        folder = self.run(name)
        if is_finished(folder):
            return "finished"
        return "begun" if folder.steps() else "new"

    def read_record(self) -> SweepRecord:
        """Return what was asked for last.

        Raises:
            CheckpointError: no sweep here, or a damaged record.
        """
        values = self._read()
        try:
            return SweepRecord(
                **{field.name: values[field.name] for field in dataclasses.fields(SweepRecord)}
            )
        except KeyError as error:
            raise CheckpointError(f"{self.path / RECORD} is damaged: {error} is missing") from None

    def divergences(self) -> dict[str, dict[str, Any]]:
        """Return the runs that diverged, by name: at which ``step``, ``where``, ``why``."""
        if not (self.path / RECORD).is_file():
            return {}
        found: dict[str, dict[str, Any]] = self._read().get("diverged", {})
        return found

    def note_divergence(self, name: str, error: Diverged) -> None:
        """Remember that a run diverged: the same settings would do the same again."""
        fact = {"step": error.step, "where": error.where, "why": error.why}
        self._write(self.read_record(), {**self.divergences(), name: fact})

    def _read(self) -> dict[str, Any]:
        values = read_object(self.path / RECORD)
        if values.get("format") != FORMAT:
            raise CheckpointError(
                f"{self.path / RECORD} has format {values.get('format')!r}; {FORMAT!r} is read"
            )
        return values

    def _write(self, record: SweepRecord, diverged: dict[str, dict[str, Any]]) -> None:
        values = {"format": FORMAT, **dataclasses.asdict(record), "diverged": diverged}
        write_atomically(self.path / RECORD, (json.dumps(values, indent=2) + "\n").encode())


def find_folder(runs: Path, record: SweepRecord) -> SweepFolder:
    """Return the sweep under ``runs`` that asked for exactly this, or a new folder for it.

    Raises:
        CheckpointError: no folder can be made.
    """
    for path in sorted(runs.glob(f"{NAME}*/{RECORD}")):
        folder = SweepFolder(path.parent)
        try:
            if folder.read_record() == record:
                return folder
        except CheckpointError:
            continue  # not ours to judge
    return SweepFolder(make_free_folder(runs, NAME))
