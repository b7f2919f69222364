"""What in a run's folder is the run's own; all else there is somebody else's, and left alone.

``run-files.json`` says so, with content of its own that no other file has. It stands in the folder
before anything else is written. Nothing is taken for the run's because of where it lies or of a dot
before its name.

A run that is to replace another first sets that one's files aside, in a folder with a random name
that the list gives. Until the new run is ready, ``undo`` brings them back: at once when preparation
fails, or by the next command where it was killed.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any

from llm_explainer.errors import CheckpointError
from llm_explainer.files import names_in, write_atomically
from llm_explainer.folder_lock import LOCK
from llm_explainer.run_folders import (
    FORMAT,
    MILESTONES,
    OWN_FILES,
    RECORD,
    checkpoint_name,
    is_run,
    milestones_of,
    read_own_files,
    steps_of,
)
from llm_explainer.training.runs.data_files import DATA, DATA_FILES, describe
from llm_explainer.training.runs.entries import LINKED_FILES, LINKED_FOLDERS, made_entries
from llm_explainer.training.runs.leftovers import (
    foreign_files,
    remove_temporary_checkpoints,
    remove_temporary_files,
)

LOG, CURVE, PAGE = "log.jsonl", "loss.png", "explorer.html"
_ABOUT = "what this run wrote here; everything else in this folder is left alone"
_ASIDE = re.compile(r"\.replaced-[0-9a-f]{8}", re.ASCII)
_CHECKPOINT = re.compile(rf"({MILESTONES}/)?step-\d{{6,}}", re.ASCII)


class OwnFiles:
    """The run's own files in ``folder``. Creating the object touches nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self) -> dict[str, Any]:
        """Return what the list says; empty where there is none of ours.

        Raises:
            OSError: it cannot be read.
        """
        return read_own_files(self._folder)

    def write(self, **changes: Any) -> None:
        """Change what the list says, all at once.

        Raises:
            OSError: no space, no permission.
        """
        old = self.read()
        content = {"format": FORMAT, "about": _ABOUT, **old, **changes}
        if content != old:
            data = (json.dumps(content, indent=2) + "\n").encode()
            write_atomically(self._folder / OWN_FILES, data)

    def others(self) -> list[str]:
        """Return the names of entries that are neither the lock nor of the system."""
        return [name for name in names_in(self._folder) if name != LOCK]

    def begin(self, data_files: Collection[str]) -> None:
        """Write a new list, before anything else is made: what follows is the run's own.

        Of the data folder only ``data_files`` are, whatever else somebody may put there.

        Raises:
            CheckpointError: a checkpoint of a run that is to be replaced has files of somebody.
            OSError: no space, no permission.
        """
        old = self.names() if is_run(self._folder) else []
        if not old:
            self.write(state="preparing", data=list(data_files))
            return
        for name in old:
            _refuse_foreign(self._folder / name)
        aside = self._folder / f".replaced-{secrets.token_hex(4)}"
        (aside / DATA).mkdir(parents=True)
        listed = self._folder / OWN_FILES
        if listed.exists():
            write_atomically(aside / OWN_FILES, listed.read_bytes())
        content = {
            "format": FORMAT,
            "about": _ABOUT,
            "state": "preparing",
            "data": list(data_files),
            "replaced": aside.name,
            "moved": old,
        }
        write_atomically(listed, (json.dumps(content, indent=2) + "\n").encode())
        for name in old:
            (aside / name).parent.mkdir(exist_ok=True)
            (self._folder / name).rename(aside / name)
        _remove_if_empty(self._folder / MILESTONES)

    def finish(self, means: str = "newest") -> None:
        """Say that the run is ready, and which checkpoint it means; what it replaced is gone.

        Raises:
            OSError: no space, no permission.
        """
        paths = [self._folder / name for name in sorted(_data_names(self.read()))]
        data = {path.name: describe(path) for path in paths if path.exists()}
        self.write(state="ready", data=data, means=means)
        self._drop_replaced()

    def undo(self) -> None:
        """Remove what an unfinished preparation made, and bring back what it was to replace.

        Raises:
            OSError: no permission.
        """
        own = self.read()
        if own.get("state") != "preparing":
            return
        aside, moved = self._aside(own), _plain_names(own.get("moved"))
        for name in (RECORD, LOG, CURVE, PAGE, *_data_names(own)):
            if name not in moved:
                (self._folder / name).unlink(missing_ok=True)
        for name in moved:
            old, place = aside / name, self._folder / name
            if old.exists() or old.is_symlink():
                place.unlink(missing_ok=True)  # of the new run, which has files only
                place.parent.mkdir(exist_ok=True)
                old.rename(place)
        self.clean()
        _remove_if_empty(self._folder / DATA)
        if (aside / OWN_FILES).is_file() and aside != self._folder:
            (aside / OWN_FILES).replace(self._folder / OWN_FILES)
        else:
            (self._folder / OWN_FILES).unlink(missing_ok=True)
        if aside != self._folder:
            _remove_if_empty(aside / DATA)
            _remove_if_empty(aside / MILESTONES)
            _remove_if_empty(aside)

    def recover(self) -> None:
        """Put in order what a command left that was killed: half a preparation, half a removal.

        Raises:
            OSError: no permission.
        """
        own = self.read()
        if own.get("state") == "preparing" and not (
            steps_of(self._folder) and not own.get("replaced")
        ):
            self.undo()
        else:
            self._drop_replaced()
        self.clean()

    def names(self) -> list[str]:
        """Return the run's own files and folders, as paths in the folder; the list is left out."""
        own = self.read()
        found = [RECORD, LOG, CURVE, PAGE, *_data_names(own)]
        found += [checkpoint_name(step) for step in steps_of(self._folder)]
        found += [f"{MILESTONES}/{path.name}" for _, path in milestones_of(self._folder)]
        found = [name for name in found if (self._folder / name).exists()]
        return found + made_entries(self._folder)

    def clean(self) -> None:
        """Remove what a killed process left half-written or half-deleted, by exact names.

        Raises:
            OSError: no permission.
        """
        own = self.read()
        files = {RECORD, LOG, CURVE, PAGE, OWN_FILES, *LINKED_FILES, *LINKED_FOLDERS}
        remove_temporary_files(self._folder, files)
        data = {Path(name).name for name in _data_names(own)}
        remove_temporary_files(self._folder / DATA, data)
        for place in (self._folder, self._folder / MILESTONES):
            remove_temporary_checkpoints(place)
        for entry in self._folder.iterdir():
            if _ASIDE.fullmatch(entry.name) and entry.name != own.get("replaced"):
                _remove_unused_aside(entry)

    def _aside(self, own: dict[str, Any]) -> Path:
        name = str(own.get("replaced"))
        return self._folder / name if _ASIDE.fullmatch(name) else self._folder

    def _drop_replaced(self) -> None:
        aside = self._aside(self.read())
        if aside != self._folder and aside.is_dir():
            shutil.rmtree(aside)


def _plain_names(names: object) -> list[str]:
    """Return those of a list's names that a run can have: none leads out of its folder."""
    fixed = {RECORD, LOG, CURVE, PAGE, *LINKED_FILES, *LINKED_FOLDERS}
    return [
        name
        for name in (names if isinstance(names, list) else [])
        if isinstance(name, str)
        and (name in fixed or _CHECKPOINT.fullmatch(name) or _is_data_name(name))
    ]


def _is_data_name(name: str) -> bool:
    first, _, second = name.partition("/")
    return first == DATA and bool(second) and Path(second).name == second and second != ".."


def _data_names(own: dict[str, Any]) -> list[str]:
    listed = own.get("data")
    if not isinstance(listed, (list, dict)):
        listed = DATA_FILES
    return [name for name in (f"{DATA}/{part}" for part in listed) if _is_data_name(name)]


def _refuse_foreign(path: Path) -> None:
    """Refuse to touch a checkpoint into which somebody put something of their own."""
    if path.is_dir() and not path.is_symlink():
        foreign = foreign_files(path)
        if foreign:
            raise CheckpointError(
                f"{path} holds {foreign[0]!r}, which no run wrote; move it elsewhere first"
            )


def _remove_unused_aside(aside: Path) -> None:
    """Remove a folder for what is replaced that was made, and nothing moved there before a kill."""
    if {entry.name for entry in aside.iterdir()} <= {DATA, MILESTONES, OWN_FILES}:
        _remove_if_empty(aside / DATA)
        _remove_if_empty(aside / MILESTONES)
        if not ((aside / DATA).exists() or (aside / MILESTONES).exists()):
            (aside / OWN_FILES).unlink(missing_ok=True)
            _remove_if_empty(aside)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()
