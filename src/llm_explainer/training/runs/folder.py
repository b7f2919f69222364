"""The folder of a run: its settings, its log, its checkpoints.

    runs/stories/
        run.json              the record: settings that decide what the run computes
        data/                 what it trains on; for pre-training train.npy, validation.npy
        log.jsonl, loss.png   history
        step-000400/          a checkpoint, which is a Hugging Face model directory
        last, best            links to checkpoints
        config.json, ...      links into ``last``: the run folder is a model directory itself

A checkpoint takes its name only when it is whole, so the highest step is always one to resume from.
The links are for people and other programs; nothing here reads them.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

from llm_explainer.checkpoint.json_objects import read_object
from llm_explainer.errors import CheckpointError
from llm_explainer.files import write_atomically

LINKED_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_STEP = re.compile(r"step-(\d{6,})")


class RunFolder:
    """One run's folder. Creating the object touches nothing on disk."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def record_file(self) -> Path:
        """What the run computes; its presence makes a folder a run."""
        return self.path / "run.json"

    @property
    def log_file(self) -> Path:
        """The history, one JSON object a line."""
        return self.path / "log.jsonl"

    @property
    def curve_file(self) -> Path:
        """The picture of the loss."""
        return self.path / "loss.png"

    @property
    def data_folder(self) -> Path:
        """Where the token files are."""
        return self.path / "data"

    def create(self, *, overwrite: bool = False) -> None:
        """Make the folder, which must be new or empty, or with ``overwrite`` hold a run.

        Raises:
            CheckpointError: it holds another run or other files, or cannot be made.
        """
        try:
            if self.path.exists() and any(self.path.iterdir()):
                self._clear(overwrite)
            self.path.mkdir(parents=True, exist_ok=True)
            # An unwritable folder is found now, too, not after the first hour of training.
            self._unfinished.touch()
            self.data_folder.mkdir()
        except OSError as error:
            raise CheckpointError(
                f"cannot write run folder {self.path}: {error.strerror or error}; "
                "choose a folder that is writable and has room"
            ) from error

    def _clear(self, overwrite: bool) -> None:
        if self._is_unfinished():
            shutil.rmtree(self.path)
            return
        if not self.record_file.is_file():
            raise CheckpointError(
                f"{self.path} holds files that are not a run's; choose a new or empty folder"
            )
        if not overwrite:
            steps = self.steps()
            reached = f"step {steps[-1]}" if steps else "no checkpoint"
            raise CheckpointError(
                f"{self.path} holds a run that reached {reached}; continue it with --resume, "
                "replace it with --overwrite, or choose another folder"
            )
        if self._replaced.exists():
            shutil.rmtree(self._replaced)
        self.path.rename(self._replaced)

    @property
    def _replaced(self) -> Path:
        """Where an overwritten run waits until the new one is ready to train."""
        path = self.path.resolve()  # so that "." has a name
        return path.with_name(f".{path.name}.replaced")

    def give_back(self) -> None:
        """Undo ``create`` after a preparation that failed: an overwritten run is back."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._replaced.exists():
            self._replaced.rename(self.path)

    @property
    def _unfinished(self) -> Path:
        """Marks a folder that is being prepared, or whose preparation was killed."""
        return self.path / ".unfinished"

    def _is_unfinished(self) -> bool:
        """Whether this is what a killed preparation leaves: data, and no record of a run yet."""
        if not self._unfinished.exists():
            return False
        half = f".{self.record_file.name}."
        made_here = {"data", self._unfinished.name}
        return all(e.name in made_here or e.name.startswith(half) for e in self.path.iterdir())

    def write_record(self, record: dict[str, Any]) -> None:
        """Write run.json: from here on this is the run, and one that it replaces is gone."""
        write_atomically(self.record_file, (json.dumps(record, indent=2) + "\n").encode())
        self._unfinished.unlink(missing_ok=True)
        if self._replaced.exists():
            shutil.rmtree(self._replaced)

    def read_record(self) -> dict[str, Any]:
        """Return what ``write_record`` wrote.

        Raises:
            CheckpointError: no run here, or a damaged run.json.
        """
        if not self.record_file.is_file():
            raise CheckpointError(
                f"{self.path} holds no run to resume (it has no run.json); "
                "start one with train_pretrain.py --out"
            )
        try:
            return read_object(self.record_file)
        except OSError as error:
            raise CheckpointError(f"{self.record_file} cannot be read: {error}") from error

    def steps(self) -> list[int]:
        """Return the steps that have a checkpoint, lowest first."""
        if not self.path.is_dir():
            return []
        matches = (_STEP.fullmatch(entry.name) for entry in self.path.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def checkpoint(self, step: int) -> Path:
        """Return the folder of a step's checkpoint."""
        return self.path / f"step-{step:06d}"

    def newest(self) -> Path:
        """Return the checkpoint to resume from.

        Raises:
            CheckpointError: there is none.
        """
        steps = self.steps()
        if not steps:
            raise CheckpointError(f"{self.path} has no checkpoint yet; start it again, --overwrite")
        return self.checkpoint(steps[-1])

    def link(self, best_step: int | None) -> None:
        """Point ``last``, ``best`` and the model's files at their checkpoints.

        Where the system has no symbolic links this does nothing.
        """
        with contextlib.suppress(OSError):
            _point(self.path / "last", self.newest().name)
            if best_step is not None:
                _point(self.path / "best", self.checkpoint(best_step).name)
            for name in LINKED_FILES:
                if (self.newest() / name).exists():
                    _point(self.path / name, f"last/{name}")

    def prune(self, keep: int, best_step: int | None) -> None:
        """Delete all checkpoints but the newest ``keep`` and the best."""
        for step in self.steps()[:-keep]:
            if step != best_step:
                # Under another name first, so that a kill leaves no half of a checkpoint behind.
                doomed = self.path / f".step-{step:06d}.deleted"
                self.checkpoint(step).rename(doomed)
                shutil.rmtree(doomed)

    def clean(self) -> None:
        """Delete what a killed run left half-written or half-deleted."""
        for entry in self.path.iterdir():
            if entry.name.startswith("."):
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink()


def _point(link: Path, target: str) -> None:
    """Make ``link`` a symbolic link to ``target``, replacing an older one in one move."""
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    temporary.replace(link)
