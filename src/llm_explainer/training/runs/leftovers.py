"""What a killed run leaves half-written or half-deleted, known by names that only runs give."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection
from pathlib import Path

from llm_explainer.checkpoint.adapters.saving import ADAPTER_FILES
from llm_explainer.checkpoint.saving import FILES
from llm_explainer.files import names_in

_FILE = re.compile(r"\.(?P<name>[^/]+?)(\.[0-9a-f]{1,8})?\.tmp", re.ASCII)
_CHECKPOINT = re.compile(r"\.(?P<name>step-\d{6,})(\.[0-9a-f]{8}\.(tmp|old)|\.deleted)", re.ASCII)


def foreign_files(checkpoint: Path) -> list[str]:
    """Return what is in a checkpoint, whole or half-written, and is no part of one.

    Raises:
        OSError: it cannot be read.
    """
    known = {*FILES, *ADAPTER_FILES}
    return [
        name for name in names_in(checkpoint) if name not in known and not _is_half_of(name, known)
    ]


def remove_temporary_files(folder: Path, names: set[str]) -> None:
    """Remove what writing files of these names leaves when it is killed.

    Raises:
        OSError: no permission.
    """
    if not folder.is_dir():
        return
    for entry in folder.iterdir():
        if _is_half_of(entry.name, names) and (entry.is_symlink() or entry.is_file()):
            entry.unlink()


def _is_half_of(name: str, names: Collection[str]) -> bool:
    """Whether a file is called as one of ``names`` is while it is written."""
    match = _FILE.fullmatch(name)
    return match is not None and match["name"] in names


def remove_temporary_checkpoints(folder: Path) -> None:
    """Remove checkpoints that are half written or half deleted.

    One that was set aside and not yet replaced gets its name back.

    Raises:
        OSError: no permission.
    """
    for entry in folder.iterdir() if folder.is_dir() else ():
        match = _CHECKPOINT.fullmatch(entry.name)
        if not match or entry.is_symlink() or not entry.is_dir():
            continue
        place = folder / match["name"]
        if entry.name.endswith(".old") and not place.exists():
            entry.rename(place)
        elif not foreign_files(entry):
            shutil.rmtree(entry)
