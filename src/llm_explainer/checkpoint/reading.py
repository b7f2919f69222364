"""Which directory, or file, a path means, and one clear line for what the system refuses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_explainer.checkpoint.directories import find_directory
from llm_explainer.checkpoint.gguf.header import is_gguf
from llm_explainer.checkpoint.saving import CONFIG, MODEL
from llm_explainer.errors import CheckpointError
from llm_explainer.run_folders import RECORD, meant_checkpoint


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the directory that ``path`` means, or the GGUF file that it is or alone holds.

    What the system refuses becomes one line.
    """
    try:
        directory = Path(path)
        if not directory.exists():
            directory = find_directory(directory.resolve())
        meant = meant_checkpoint(directory)
        if meant is not None:
            directory = meant
        elif (directory / "last").is_dir() and not (directory / RECORD).exists():
            directory = (directory / "last").resolve()  # checkpoints that no run keeps
        elif directory.is_dir() and not (directory / CONFIG).exists():
            directory = _gguf_in(directory)
        if not directory.is_dir() and not is_gguf(directory):
            reason = "is a file" if directory.exists() else "does not exist"
            raise CheckpointError(
                f"{directory} {reason}; a checkpoint is a directory with {CONFIG} and {MODEL}, "
                "or a GGUF file"
            )
    except (OSError, ValueError, RuntimeError) as error:  # no permission, a null, a loop of links
        raise CheckpointError(f"{str(path)!r} cannot be read: {error}") from None
    try:
        yield directory
    except OSError as error:
        where = error.filename or directory
        raise CheckpointError(f"{where} cannot be read: {error.strerror or error}") from None
    except MemoryError:
        raise CheckpointError(f"{directory} does not fit in this machine's memory") from None


def _gguf_in(directory: Path) -> Path:
    """Return the GGUF file that a directory has for a model, else the directory.

    Raises:
        CheckpointError: several.
    """
    found = sorted(path for path in directory.glob("*.gguf") if path.is_file())
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise CheckpointError(f"{directory} holds {len(found)} GGUF files, {names}; name one")
    return found[0] if found else directory
