"""The top level of a run's folder, which makes it a model directory for other programs.

Links to the files of the checkpoint that the run means, and to the newest and the best checkpoint;
where the system has no links, copies of the files. A folder that was copied by something that
follows links has copies, too. They are renewed with every checkpoint, and nothing of ours reads
them.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
from pathlib import Path

from llm_explainer.checkpoint.checksums import MANIFEST, digest_of, read_digests
from llm_explainer.errors import CheckpointError, LLMExplainerWarning
from llm_explainer.files import open_atomically
from llm_explainer.run_folders import checkpoint_name, read_own_files, steps_of
from llm_explainer.training.runs.leftovers import foreign_files

LINKED_FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "adapter_config.json",
    "lora.safetensors",
    "adapter_model.safetensors",
    "adapters.safetensors",
)
LAST, BEST = LINKED_FOLDERS = ("last", "best")
_TARGET = re.compile(r"(last|best|step-\d{6,})(/[\w.]+)?", re.ASCII)


def made_entries(folder: Path) -> list[str]:
    """Return the names of the entries that are there, and that a run put there.

    A link is, that leads to a checkpoint; a file, that has the bytes of a checkpoint's, or as its
    text where a link led.

    Raises:
        OSError: the folder cannot be read.
    """
    checkpoints = [folder / checkpoint_name(step) for step in steps_of(folder)]
    names = (*LINKED_FILES, *LINKED_FOLDERS)
    return [name for name in names if _is_ours(folder / name, checkpoints)]


def renew_entries(
    folder: Path, newest: Path, best: Path | None, *, means_best: bool = False
) -> dict[str, str]:
    """Let the entries mean these checkpoints; return the digests that the files now have.

    The files are the newest checkpoint's, or with ``means_best`` the best one's, if there is one.

    What somebody else put in the place of one is left alone, with a ``LLMExplainerWarning``.

    Raises:
        OSError: the folder cannot be read.
    """
    ours = set(made_entries(folder))
    link, meant = (BEST, best) if means_best and best is not None else (LAST, newest)
    digests = _digests(meant)
    targets = {LAST: newest.name} | ({} if best is None else {BEST: best.name})
    targets |= {name: f"{link}/{name}" for name in LINKED_FILES if (meant / name).exists()}
    for name, target in targets.items():
        entry = folder / name
        if name in LINKED_FILES and not (folder / link).is_symlink():
            target = f"{meant.name}/{name}"
        if os.path.lexists(entry) and name not in ours:
            warnings.warn(
                f"{entry} is no file that this run wrote, so it stays as it is; other programs "
                f"that read {folder} get it, and not that of {meant.name}",
                LLMExplainerWarning,
                stacklevel=2,
            )
        else:
            _put(entry, target, meant / name)
    return {name: digests[name] for name in LINKED_FILES if name in digests}


def _is_ours(path: Path, checkpoints: list[Path]) -> bool:
    if path.is_symlink():
        return _TARGET.fullmatch(path.readlink().as_posix()) is not None
    if path.is_dir():  # a copy of what a link led to
        listed = path / MANIFEST
        if path.name not in LINKED_FOLDERS or not listed.is_file() or foreign_files(path):
            return False
        return _digests(path) in [_digests(checkpoint) for checkpoint in checkpoints]
    if not path.is_file():
        return False
    with path.open("rb") as file:  # git and zip may keep a link as a file that holds its target
        if _TARGET.fullmatch(file.read(64).decode("ascii", errors="replace")):
            return True
    known = {_digests(checkpoint).get(path.name) for checkpoint in checkpoints}
    written = read_own_files(path.parent).get("entries")
    known.add(written.get(path.name) if isinstance(written, dict) else None)
    return digest_of(path) in known


def _digests(checkpoint: Path) -> dict[str, str]:
    try:
        return read_digests(checkpoint)
    except CheckpointError:  # damaged: so nothing is known of it
        return {}


def _put(entry: Path, target: str, source: Path) -> None:
    """Make an entry a link to ``target``, or a copy of the file ``source`` if there are no links.

    A copied folder that cannot be a link again is removed: it would mean an older checkpoint.
    """
    temporary = entry.with_name(f".{entry.name}.tmp")
    temporary.unlink(missing_ok=True)
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    try:
        temporary.symlink_to(target)
    except (OSError, NotImplementedError):
        if source.is_file():
            with source.open("rb") as old, open_atomically(entry) as new:
                shutil.copyfileobj(old, new, 1 << 20)
        return
    temporary.replace(entry)
