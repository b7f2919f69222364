"""The way back from a damaged checkpoint of a run: an older one beside it that is whole."""

from __future__ import annotations

from pathlib import Path

from llm_explainer.checkpoint.checksums import MANIFEST, read_digests, verify_checksums
from llm_explainer.errors import CheckpointError
from llm_explainer.run_folders import checkpoint_name, steps_of


def way_back(checkpoint: Path) -> str:
    """Return what to do about a checkpoint that cannot be used, to follow the reason.

    Nothing where it is whole itself, or where no other of its run is.
    """
    if is_whole(checkpoint):
        return ""
    others = [checkpoint.parent / checkpoint_name(step) for step in steps_of(checkpoint.parent)]
    for other in reversed([path for path in others if path.name < checkpoint.name]):
        if is_whole(other):
            return f"; {other} is whole: to go on from there, delete {checkpoint}"
    return ""


def is_whole(checkpoint: Path) -> bool:
    """Whether every file of a checkpoint is there and is what was saved."""
    try:
        verify_checksums(checkpoint, read_digests(checkpoint))
    except (CheckpointError, OSError):
        return False
    return (checkpoint / MANIFEST).is_file()
