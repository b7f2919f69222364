"""Verified, resumable downloads into the user's cache folder.

What makes a file trustworthy is its SHA-256, written down here, not the server that it came from.
Bytes go to ``NAME.part``; a lost connection leaves them there and the next try asks the server for
the rest (RFC 9110, section 14, range requests). Only a file whose sum is right gets its real name.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_explainer.errors import CorpusError

BytesProgress = Callable[[int, int], None]
"""Called with (bytes that we have, bytes in all)."""

CHUNK_BYTES = 256 * 1024
INSTEAD = "without a network, train with --corpus stories or with --corpus and a text file's path"


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server: its name in the cache, where it is, and how to know that it is right."""

    name: str
    url: str
    size: int  # bytes
    sha256: str  # 64 hexadecimal digits


_TINYSTORIES = (
    "https://huggingface.co/datasets/roneneldan/TinyStories/resolve/"
    "f54c09fd23315a6f9c86f9dc80f725de7d8f9c64/"
)

# Public domain; the excerpt that char-rnn and nanoGPT made the standard small corpus.
SHAKESPEARE = RemoteFile(
    name="tinyshakespeare.txt",
    url="https://raw.githubusercontent.com/karpathy/char-rnn/"
    "6f9487a6fe5b420b7ca9afb0d7c078e37c1d1b4e/data/tinyshakespeare/input.txt",
    size=1_115_394,
    sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
)
# Edith Wharton 1908, public domain; the text of Raschka 2024, chapter 2.
VERDICT = RemoteFile(
    name="the-verdict.txt",
    url="https://raw.githubusercontent.com/rasbt/LLMs-from-scratch/"
    "main/ch02/01_main-chapter-code/the-verdict.txt",
    size=20_479,
    sha256="b41e41a68f0398a3154ae69e2e4c0e2694e17fe0d66730536837f1b01935b31f",
)
# Eldan and Li 2023 (arXiv:2305.07759); licence CDLA-Sharing-1.0.
TINYSTORIES_TRAIN = RemoteFile(
    name="TinyStoriesV2-GPT4-train.txt",
    url=_TINYSTORIES + "TinyStoriesV2-GPT4-train.txt",
    size=2_227_753_162,
    sha256="6418d412de72888f52b5142c761ac21a582f7d1166f0bfbdb5f03ccfdec90443",
)
TINYSTORIES_VALID = RemoteFile(
    name="TinyStoriesV2-GPT4-valid.txt",
    url=_TINYSTORIES + "TinyStoriesV2-GPT4-valid.txt",
    size=22_502_601,
    sha256="6874bae9a4c1a4e7edcf0e53b86c17817e9cf881fc75ff2368da457b80c0585d",
)

DOWNLOADS: dict[str, tuple[RemoteFile, ...]] = {
    "shakespeare": (SHAKESPEARE,),
    "verdict": (VERDICT,),
    "tinystories": (TINYSTORIES_VALID, TINYSTORIES_TRAIN),
}
"""The files of each corpus that comes by download."""


def cache_dir() -> Path:
    """Return the folder for downloads: LLM_EXPLAINER_CACHE, or the system's place for caches.

    Raises:
        CorpusError: there is neither, because the user has no home folder.
    """
    try:
        return _cache_dir()
    except RuntimeError:  # no HOME, and an account that the system does not know
        raise CorpusError(
            "no home folder is known to keep downloads in; set LLM_EXPLAINER_CACHE to a folder"
        ) from None


def _cache_dir() -> Path:
    if override := os.environ.get("LLM_EXPLAINER_CACHE"):
        return Path(override).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        xdg = os.environ.get("XDG_CACHE_HOME", "")
        # The XDG base directory specification: a relative path is invalid and to be ignored.
        base = Path(xdg) if Path(xdg).is_absolute() else Path.home() / ".cache"
    return base / "llm-explainer"


def is_cached(file: RemoteFile, *, folder: Path | None = None) -> bool:
    """Say whether the file is in the cache, where only a verified download gets this name."""
    return _size(_folder(folder) / file.name) == file.size


def download(
    file: RemoteFile,
    *,
    folder: Path | None = None,
    progress: BytesProgress | None = None,
    timeout_s: float = 30.0,
) -> Path:
    """Return the path of the file in ``folder`` (the cache), downloaded first if it is not there.

    A connection that breaks is taken up again for as long as every try brings new bytes.
    ``timeout_s`` is the longest wait for the server's next sign of life.

    Raises:
        CorpusError: no network, the server refuses, the sum is wrong, or the folder is unwritable.
    """
    _require_https(file.url)
    target = _folder(folder) / file.name
    part = target.with_name(target.name + ".part")
    try:
        if is_cached(file, folder=folder):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch(file, part, progress or (lambda done, total: None), timeout_s)
        _verify(file, part)
        part.replace(target)
    except OSError as error:
        raise CorpusError(
            f"cannot write {part}: {error.strerror or error}; set LLM_EXPLAINER_CACHE to a folder "
            f"with {file.size:,} bytes free"
        ) from error
    return target


def _fetch(file: RemoteFile, part: Path, progress: BytesProgress, timeout_s: float) -> None:
    """Fill ``part`` up to the file's size, from where an earlier try stopped."""
    if _size(part) > file.size:
        part.unlink()
    part.touch()
    while (done := _size(part)) < file.size:
        try:
            with part.open("r+b") as output:
                for position, chunk in _receive(file, done, timeout_s):
                    output.seek(position)
                    output.write(chunk)
                    progress(position + len(chunk), file.size)
                output.flush()
                os.fsync(output.fileno())
        except CorpusError:
            if _size(part) <= done:  # nothing new: another try would not help
                raise


def _receive(file: RemoteFile, start: int, timeout_s: float) -> Iterator[tuple[int, bytes]]:
    """Yield (position in the file, bytes there) from ``start``; network faults: CorpusError."""
    headers = {"User-Agent": "llm-explainer", "Range": f"bytes={start}-"}
    request = urllib.request.Request(file.url, headers=headers)
    position = start
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                position = 0  # a server without ranges sends the whole file again
            # Never more than the size that we expect: a server cannot fill the disk.
            while chunk := response.read(min(CHUNK_BYTES, file.size - position)):
                yield position, chunk
                position += len(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        raise CorpusError(
            f"cannot download {file.url}: the server answered {error.code} {error.reason}; "
            f"{INSTEAD}"
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise CorpusError(
            f"cannot download {file.url}: {reason} (at byte {position:,} of {file.size:,}; "
            f"the same command goes on from there); {INSTEAD}"
        ) from error
    if position < file.size:
        raise CorpusError(
            f"cannot download {file.url}: the connection ended at byte {position:,} of "
            f"{file.size:,}; the same command goes on from there; {INSTEAD}"
        )


def _verify(file: RemoteFile, part: Path) -> None:
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != file.sha256:
        part.unlink()
        raise CorpusError(
            f"{file.url} has SHA-256 {found}, expected {file.sha256}; the download was removed, "
            f"try again, or {INSTEAD}"
        )


def _require_https(url: str) -> None:
    address = urllib.parse.urlsplit(url)
    on_this_machine = address.scheme == "http" and address.hostname in ("127.0.0.1", "::1")
    if address.scheme != "https" and not on_this_machine:
        raise CorpusError(f"cannot download {url!r}: only https:// addresses are fetched")


def _folder(folder: Path | None) -> Path:
    return cache_dir() if folder is None else folder


def _size(path: Path) -> int:
    """Return the size of a file in bytes, 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0
