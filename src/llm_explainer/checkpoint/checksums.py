"""``SHA256SUMS``: a digest of every file, so that one flipped bit in a gigabyte is seen.

safetensors checks its index but not the numbers. The format is that of the ``sha256sum`` command: a
line for each file, with 64 hexadecimal digits, two spaces and the name.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from llm_explainer.checkpoint.json_objects import require_file
from llm_explainer.errors import CheckpointError

MANIFEST = "SHA256SUMS"

_LINE = re.compile(r"([0-9a-f]{64})  ([\w.-]+)", re.ASCII)
_MAX_BYTES = 1 << 20


def write_checksums(directory: Path) -> None:
    """Write the digests of all files in ``directory``.

    Raises:
        OSError: a file cannot be read or written.
    """
    files = sorted(path for path in directory.iterdir() if path.name != MANIFEST)
    lines = [f"{digest_of(path)}  {path.name}\n" for path in files]
    (directory / MANIFEST).write_text("".join(lines), encoding="ascii", newline="\n")


def verify_checksums(directory: Path, names: Iterable[str]) -> None:
    """Compare files with the digests of their directory, where it has any.

    Raises:
        CheckpointError: a file that is missing, unlisted or changed; a damaged list.
        OSError: a file cannot be read.
    """
    if not (directory / MANIFEST).exists():
        return
    expected = _read(directory / MANIFEST)
    for name in names:
        path = directory / name
        require_file(path)
        if digest_of(path) != expected.get(name):
            raise CheckpointError(
                f"{path} is not what was saved (SHA-256 differs from {MANIFEST}); take another "
                f"copy, or delete {MANIFEST} if the change was meant"
            )


def read_digests(directory: Path) -> dict[str, str]:
    """Return the digest of every listed file, by name; none where there is no list.

    Raises:
        CheckpointError: a damaged list.
        OSError: it cannot be read.
    """
    manifest = directory / MANIFEST
    return _read(manifest) if manifest.exists() else {}


def _read(manifest: Path) -> dict[str, str]:
    """Return {file name: digest}."""
    require_file(manifest)
    with manifest.open("rb") as file:
        text = file.read(_MAX_BYTES).decode("ascii", errors="replace")
    digests = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is None:
            raise CheckpointError(
                f"{manifest} has a line that is no digest and name; it is damaged"
            )
        digests[match[2]] = match[1]
    return digests


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file's content, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
