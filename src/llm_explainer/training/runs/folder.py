"""The folder of a run: its settings, its log, its checkpoints.

    runs/stories/
        run.json              the record: settings that decide what the run computes
        run-files.json        what in this folder is the run's own (``own_files.py``)
        run.lock              while a process works on it: which (``folder_lock.py``)
        data/                 what it trains on; for pre-training train.npy, validation.npy
        log.jsonl, loss.png   history
        step-000400/          a checkpoint, which is a Hugging Face model directory
        milestones/           early ones, weights only, which are kept for good
        last, best            links to checkpoints
        config.json, ...      links to the files of the one that the run means, the newest or the
                              best: the folder is a model directory itself

A checkpoint takes its name only when it is whole, so the highest step is always one to resume from.
The links are for people and other programs; nothing here reads them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from llm_explainer.checkpoint.json_objects import read_object
from llm_explainer.errors import CheckpointError
from llm_explainer.files import write_atomically
from llm_explainer.folder_lock import FolderLock
from llm_explainer.program import typed
from llm_explainer.run_folders import MILESTONES, RECORD, checkpoint_name, is_run, steps_of
from llm_explainer.spelling import command_line
from llm_explainer.training.runs.data_files import DATA, DATA_FILES, changed_file
from llm_explainer.training.runs.entries import renew_entries
from llm_explainer.training.runs.leftovers import foreign_files
from llm_explainer.training.runs.names import RUNS, make_free_folder, resume_command
from llm_explainer.training.runs.own_files import CURVE, LOG, PAGE, OwnFiles

Meaning = Literal["newest", "best"]
"""Which of its checkpoints a run stands for."""


class RunFolder:
    """One run's folder. Creating the object touches nothing on disk."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = FolderLock(self.path)
        self._own = OwnFiles(self.path)
        self._made: list[Path] = []  # folders that were not there before, the innermost first
        self._is_preparing = False

    @classmethod
    def new(cls, parent: Path, name: str) -> RunFolder:
        """Make parent/name, or the first of name-2, name-3, ... that nobody else has.

        Raises:
            CheckpointError: it cannot be made.
        """
        is_first = not parent.exists()
        path = make_free_folder(parent, name)
        folder = cls(path)
        folder._made = [path.resolve()] + ([parent.resolve()] if is_first else [])
        return folder

    @classmethod
    def asked_for(cls, out: str | Path | None, name: str, *, overwrite: bool) -> RunFolder:
        """Return the folder ``out``; by default a new one under runs/, or one there to replace.

        Raises:
            CheckpointError: it cannot be made.
        """
        if out is None and not overwrite:
            return cls.new(RUNS, name)
        return cls(out or RUNS / name)

    @property
    def record_file(self) -> Path:
        """What the run computes; its presence makes a folder a run."""
        return self.path / RECORD

    @property
    def log_file(self) -> Path:
        """The history, one JSON object a line."""
        return self.path / LOG

    @property
    def curve_file(self) -> Path:
        """The picture of the loss."""
        return self.path / CURVE

    @property
    def page_file(self) -> Path:
        """The page that shows the model from inside, where a command made one."""
        return self.path / PAGE

    @property
    def data_folder(self) -> Path:
        """Where the token files are."""
        return self.path / DATA

    def hold(self) -> None:
        """Keep other processes away until ``let_go``, or until this one ends.

        Raises:
            CheckpointError: another process is at work there; the folder cannot be written.
        """
        with self._writing():
            self._lock.acquire()

    def let_go(self) -> None:
        """Let other processes work here."""
        self._lock.release()

    def make(self) -> None:
        """Make the folder, if it is not there, at the end of the links that lead to it.

        Raises:
            CheckpointError: it cannot be made.
        """
        with self._writing():
            missing = self.path.resolve()
            while not missing.exists():
                self._made.append(missing)
                missing = missing.parent
            self.path.resolve().mkdir(parents=True, exist_ok=True)

    def create(self, data_files: Collection[str] = DATA_FILES, *, overwrite: bool = False) -> None:
        """Begin a run in the folder, which must be new or empty, or with ``overwrite`` hold a run.

        What of that run is its own is set aside. Files of others stay where they are. The run may
        write ``data_files`` into its data folder.

        Raises:
            CheckpointError: it holds another run or other files, or cannot be made.
        """
        self.make()
        with self._writing():
            self._own.recover()
            self._is_preparing = True
            if self._own.others():
                self._refuse(overwrite)
            # An unwritable folder is found now, too, not after the first hour of training.
            self._own.begin(data_files)
            self.data_folder.mkdir(exist_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError) as error:  # no permission, no space, a loop of links
            reason = getattr(error, "strerror", None) or error
            raise CheckpointError(
                f"cannot write run folder {self.path}: {reason}; "
                "choose a folder that is writable and has room"
            ) from error

    def _refuse(self, overwrite: bool) -> None:
        """Refuse a folder that holds anything but a run that may be replaced.

        A run that never came to train may be: what it has is made again.
        """
        if not is_run(self.path):
            raise CheckpointError(
                f"{self.path} holds files that are not a run's; choose a new or empty folder"
            )
        steps = self.steps()
        has_history = self.log_file.exists() and self.log_file.stat().st_size > 0
        if (steps or has_history) and not overwrite:
            reached = f"step {steps[-1]}" if steps else "no checkpoint"
            go_on = f"continue it with `{resume_command(self.path)}`, " if steps else ""
            raise CheckpointError(
                f"{self.path} holds a run that reached {reached}; {go_on}replace it with "
                "--overwrite, or choose another folder"
            )

    def give_back(self) -> None:
        """Undo ``create`` after a preparation that failed: the folder is as it was before."""
        if self._is_preparing:
            self._is_preparing = False
            with suppress(OSError):
                self._own.undo()
                self._own.clean()
        self.let_go()
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()  # which refuses where somebody has put something

    def write_record(self, record: dict[str, Any], means: Meaning = "newest") -> None:
        """Write run.json: from here on this is the run, and one that it replaces is gone.

        ``means`` says which checkpoint the folder stands for, for all who read it.
        """
        self.change_record(record)
        self._own.finish(means)
        self._is_preparing = False

    def change_record(self, record: dict[str, Any]) -> None:
        """Write another run.json, for a run that goes on."""
        write_atomically(self.record_file, (json.dumps(record, indent=2) + "\n").encode())

    def read_record(self) -> dict[str, Any]:
        """Return what ``write_record`` wrote.

        Raises:
            CheckpointError: no run here, or a damaged run.json.
        """
        if not self.record_file.is_file():
            raise CheckpointError(
                f"{self.path} holds no run to resume (it has no run.json); start one with "
                f"`{typed('pretrain', '--out', self.path)}`"
            )
        try:
            return read_object(self.record_file)
        except OSError as error:
            raise CheckpointError(f"{self.record_file} cannot be read: {error}") from error

    def check_data(self) -> None:
        """Refuse to go on with other data than the run began with.

        Raises:
            CheckpointError: naming the file that has changed.
        """
        try:
            changed = changed_file(self.data_folder, self._own.read().get("data"))
        except OSError as error:
            raise CheckpointError(f"{self.data_folder} cannot be read: {error}") from error
        if changed is not None:
            raise CheckpointError(
                f"{changed} is not what this run began with (its SHA-256 differs); put that file "
                "back, or start a new run on this one"
            )

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, lowest first."""
        return steps_of(self.path)

    def checkpoint(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.path / checkpoint_name(step)

    def milestone(self, step: int) -> Path:
        """Return the folder in which the weights of an early step are kept."""
        return self.path / MILESTONES / checkpoint_name(step)

    def newest(self) -> Path:
        """Return the checkpoint to resume from.

        Raises:
            CheckpointError: there is none.
        """
        steps = self.steps()
        if not steps:
            again = command_line("--out", self.path)
            raise CheckpointError(f"{self.path} has no checkpoint yet; start it again with {again}")
        return self.checkpoint(steps[-1])

    def link(self, best_step: int | None) -> None:
        """Renew what other programs and people read: ``last``, ``best`` and the model's files."""
        newest = self.newest()
        best = None if best_step is None else self.checkpoint(best_step)
        with suppress(OSError):  # the checkpoint is whole all the same
            means_best = self._own.read().get("means") == "best"
            digests = renew_entries(self.path, newest, best, means_best=means_best)
            self._own.write(
                last=newest.name, best=None if best is None else best.name, entries=digests
            )

    def prune(self, keep: int, best_step: int | None) -> None:
        """Delete all checkpoints but the newest ``keep`` and the best.

        One into which somebody put something stays.
        """
        for step in self.steps()[:-keep]:
            if step != best_step and not foreign_files(self.checkpoint(step)):
                # Under another name first, so that a kill leaves no half of a checkpoint behind.
                doomed = self.path / f".{checkpoint_name(step)}.deleted"
                self.checkpoint(step).rename(doomed)
                shutil.rmtree(doomed)

    def recover(self) -> None:
        """Put in order what a killed command left: an overwritten run is back.

        Raises:
            CheckpointError: the folder cannot be written.
        """
        with self._writing():
            self._own.recover()

    def clean(self) -> None:
        """Delete what a killed run left half-written or half-deleted, and nothing else."""
        self._own.clean()
