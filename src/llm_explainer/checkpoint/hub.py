"""Models of the Hugging Face Hub that are known to run here, and fetching them.

A download is a matter of trust twice over: in what is asked for, so each model is named by a
commit, which never changes; and in what came, so sizes and digests are compared with what the Hub
says of that commit, and the digests stay beside the files, where every later loading checks them.
Weights are safetensors, which hold numbers and nothing else; nothing that can run code is fetched.
"""

from __future__ import annotations

import fnmatch
import importlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from llm_explainer.checkpoint.checksums import MANIFEST, digest_of
from llm_explainer.errors import CheckpointError
from llm_explainer.program import extra

PATTERNS = ("*.safetensors", "*.json")
SOURCE = "source.txt"
"""Where the files are from: a repository, a commit and a licence."""


@dataclass(frozen=True)
class HubModel:
    """A model of the Hub."""

    repository: str
    commit: str
    licence: str
    gigabytes: float  # of its weights, about
    is_gated: bool = False  # whether its licence is to be accepted on its page first

    @property
    def page(self) -> str:
        """Where people can look at it."""
        return f"https://huggingface.co/{self.repository}"


MODELS: dict[str, HubModel] = {
    "smollm2": HubModel(
        "HuggingFaceTB/SmolLM2-135M-Instruct",
        "12fd25f77366fa6b3b4b768ec3050bf629380bac",
        "Apache-2.0",
        0.27,
    ),
    "smollm2-360m": HubModel(
        "HuggingFaceTB/SmolLM2-360M-Instruct",
        "a10cc1512eabd3dde888204e902eca88bddb4951",
        "Apache-2.0",
        0.72,
    ),
    "qwen2.5-0.5b": HubModel(
        "Qwen/Qwen2.5-0.5B-Instruct",
        "7ae557604adf67be50417f59c2c2f167def9a775",
        "Apache-2.0",
        0.99,
    ),
    "qwen3-0.6b": HubModel(
        "Qwen/Qwen3-0.6B",
        "c1899de289a04d12100db370d81485cdf75e47ca",
        "Apache-2.0",
        1.5,
    ),
    "llama-3.2-1b": HubModel(
        "meta-llama/Llama-3.2-1B-Instruct",
        "9213176726f574b556790deb65791e0c5aa438b6",
        "Llama 3.2 Community License",
        2.5,
        is_gated=True,
    ),
    "gpt2": HubModel(
        "openai-community/gpt2",
        "607a30d783dfa663caf39e06633721c8d4cfcd7e",
        "MIT",
        0.55,
    ),
}
"""What ``get`` knows, by a short name."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as the Hub tells of it."""

    name: str
    size: int  # bytes
    sha256: str | None  # of large files


def list_files(model: HubModel, folder: Path) -> list[RemoteFile]:
    """Return the files of a model that would be fetched.

    Args:
        model: which.
        folder: where they are to go, for what the message says to do by hand.

    Raises:
        CheckpointError: no package ``huggingface_hub``; no network; a licence not accepted.
    """
    hub = _library(model, folder)
    try:
        found = hub.HfApi().model_info(
            model.repository, revision=model.commit, files_metadata=True, timeout=30
        )
    except Exception as error:  # its own, those of its HTTP library, the system's
        raise _failed(error, model, folder) from None
    if found.sha != model.commit:
        raise CheckpointError(f"{model.page} answered with commit {found.sha}, not {model.commit}")
    return [
        RemoteFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None)
        for file in found.siblings
        if is_wanted(file.rfilename)
    ]


def is_wanted(name: str) -> bool:
    """Whether a file of a repository is fetched: weights and settings, at its top."""
    return "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in PATTERNS)


def fetch(model: HubModel, files: Iterable[RemoteFile], folder: Path) -> None:
    """Fetch files of a model into a folder, and check them; what is there already is kept.

    A download that broke off goes on where it stopped.

    Raises:
        CheckpointError: no room, no network, no permission; a file that is not what the Hub says.
    """
    files = list(files)
    hub = _library(model, folder)
    _check_room(files, folder)
    try:
        hub.snapshot_download(
            model.repository,
            revision=model.commit,
            local_dir=folder,
            allow_patterns=[file.name for file in files],
        )
    except Exception as error:
        raise _failed(error, model, folder) from None
    try:
        digests = {file.name: _checked(folder / file.name, file) for file in files}
        lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
        (folder / MANIFEST).write_text(lines, encoding="ascii", newline="\n")
        source = f"{model.page}\ncommit {model.commit}\nlicence {model.licence}\n"
        (folder / SOURCE).write_text(source, encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"cannot write {folder}: {error.strerror or error}") from None


def _checked(path: Path, file: RemoteFile) -> str:
    """Return a file's digest; remove a file that is not what it should be."""
    digest = digest_of(path)
    if path.stat().st_size != file.size or file.sha256 not in (None, digest):
        path.unlink()
        raise CheckpointError(
            f"{path} is not what the Hub says it is, and was removed; the same command fetches it "
            "again"
        )
    return digest


def _check_room(files: list[RemoteFile], folder: Path) -> None:
    there = next(place for place in (folder.resolve(), *folder.resolve().parents) if place.exists())
    if not (there.is_dir() and os.access(there, os.W_OK)):
        raise CheckpointError(f"cannot write {folder}: {there} is no folder to write in")
    needed = sum(file.size for file in files if not (folder / file.name).exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise CheckpointError(
            f"{folder} has no room: {needed / 1e9:.2f} GB are needed, {free / 1e9:.2f} GB are free"
        )


def _library(model: HubModel, folder: Path) -> ModuleType:
    try:
        return importlib.import_module("huggingface_hub")
    except ImportError:
        raise CheckpointError(
            f"fetching models takes huggingface_hub, which is not installed; {extra('hub')} "
            f"brings it, or do it by hand: {_by_hand(model, folder)}"
        ) from None


def _failed(error: Any, model: HubModel, folder: Path) -> CheckpointError:
    """Return what to tell of an error of the Hub's client."""
    names = [kind.__name__ for kind in type(error).__mro__]
    if "GatedRepoError" in names:
        return CheckpointError(
            f"{model.repository} is not for everybody: accept its licence at {model.page}, make a "
            "token at https://huggingface.co/settings/tokens, give it to hf auth login, and try "
            "again"
        )
    reason = " ".join(str(error).split())[:200] or names[0]
    return CheckpointError(
        f"cannot fetch {model.repository} ({reason}); the same command goes on where it stopped, "
        f"and where there is a network it can be done by hand: {_by_hand(model, folder)}"
    )


def _by_hand(model: HubModel, folder: Path) -> str:
    from llm_explainer.spelling import command_line

    include = [word for pattern in PATTERNS for word in ("--include", pattern)]
    command = command_line(
        *("hf", "download", model.repository, "--revision", model.commit, *include),
        *("--local-dir", folder),
    )
    return f"{command}, or from {model.page}/tree/{model.commit}"
