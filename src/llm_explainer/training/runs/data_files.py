"""What a run trains on, in its folder, and whether it is still what the run began with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llm_explainer.checkpoint.checksums import digest_of

DATA = "data"
DATA_FILES = ("train.npy", "validation.npy")
"""Those of pre-training, and of every run of a version that kept no list of them."""


def describe(path: Path) -> dict[str, Any]:
    """Return what tells a file from another one.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    digest = digest_of(path) if path.is_file() else None
    return {"bytes": status.st_size, "modified_ns": status.st_mtime_ns, "sha256": digest}


def changed_file(folder: Path, listed: object) -> Path | None:
    """Return a file that is not what ``describe`` said of it, by name, in ``listed``.

    A file of the same size and time is not read. What is missing is left for whoever reads it.

    Raises:
        OSError: it cannot be read.
    """
    for name, was in listed.items() if isinstance(listed, dict) else ():
        path = folder / str(name)
        if not isinstance(was, dict) or not path.is_file():
            continue
        status = path.stat()
        is_as_it_was = (
            status.st_size == was.get("bytes") and (status.st_mtime_ns == was.get("modified_ns"))
        ) or digest_of(path) == was.get("sha256")
        if not is_as_it_was:
            return path
    return None
