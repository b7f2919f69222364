"""Which tokenizer a person means: that of a run, one from files, or one made on the spot."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from llm_explainer.data.stories import stories_text
from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.tokenizer.bpe import BPETokenizer
from llm_explainer.tokenizer.files.gpt2_files import (
    find_gpt2_files,
    merges_beside,
)
from llm_explainer.tokenizer.loading import load_gpt2_files, load_tokenizer

STORIES, BYTES = "stories", "bytes"
STORY_BYTES = 400_000  # that the tokenizer of the stories learns from, in a tenth of a second
STORY_VOCAB = 1024

_WHAT_WOULD_DO = (
    "give a run's folder, a tokenizer.json, a folder with GPT-2's vocab.json and merges.txt, a "
    "tiktoken rank file, stories, stories:SIZE, or bytes"
)
_GPT2_RANKS = ("r50k_base", "p50k_base", "gpt2")  # rank files that go with GPT-2's pattern


@dataclass(frozen=True)
class NamedTokenizer:
    """A tokenizer, what to call it, and where it comes from."""

    tokenizer: Tokenizer
    name: str
    origin: str
    files: tuple[Path, ...] = ()

    def digests(self) -> Iterator[tuple[Path, str]]:
        """Yield each file that it was read from, with its SHA-256."""
        for file in self.files:
            yield file, hashlib.sha256(file.read_bytes()).hexdigest()


def open_tokenizer(spec: str) -> NamedTokenizer:
    """Return the tokenizer that a spec names.

    Args:
        spec: a run's folder; a ``tokenizer.json``; one of GPT-2's two files, or their folder; a
            rank file of tiktoken, with ``:gpt2`` or ``:gpt4`` behind it for its pattern;
            ``stories`` or ``stories:SIZE``, learned at once from the built-in stories; ``bytes``.

    Raises:
        TokenizerError: there is none of that name, or its files are damaged.
    """
    kind, _, size = spec.partition(":")
    if spec == BYTES:
        return _bytes()
    if kind == STORIES:
        return _stories(size if ":" in spec else str(STORY_VOCAB))
    path = Path(spec)
    try:
        if path.is_dir() and spec:  # an empty name would be the current folder
            return _open_folder(path)
        if path.is_file():
            return _open_file(path)
        ranks, _, pattern = spec.rpartition(":")
        if pattern in ("gpt2", "gpt4") and Path(ranks).is_file():
            return _open_ranks(Path(ranks), pattern)
    except OSError as error:
        raise TokenizerError(f"cannot read {spec!r}: {error.strerror or error}") from None
    raise TokenizerError(f"no tokenizer {spec!r}; {_WHAT_WOULD_DO}")


def _open_folder(folder: Path) -> NamedTokenizer:
    if (folder / "tokenizer.json").is_file():
        return _open_file(folder / "tokenizer.json", str(folder))
    if pair := find_gpt2_files(folder):
        return _open_gpt2(*pair, str(folder))
    raise TokenizerError(
        f"folder {folder} has neither a tokenizer.json nor a vocab.json and merges.txt; "
        f"{_WHAT_WOULD_DO}"
    )


def _open_file(path: Path, name: str | None = None) -> NamedTokenizer:
    if _is_rank_file(path):
        return _open_ranks(path, "gpt2" if path.name.startswith(_GPT2_RANKS) else "gpt4")
    if merges := merges_beside(path):
        return _open_gpt2(path, merges, str(path))
    return NamedTokenizer(load_tokenizer(path), name or str(path), "read from a file", (path,))


def _open_gpt2(vocab: Path, merges: Path, name: str) -> NamedTokenizer:
    tokenizer = load_gpt2_files(vocab, merges)
    return NamedTokenizer(tokenizer, name, "read from GPT-2's two files", (vocab, merges))


def _is_rank_file(path: Path) -> bool:
    """Return whether a file begins as tiktoken's do: a token in base64, and its rank."""
    with path.open("rb") as file:
        return re.match(rb"[A-Za-z0-9+/]+=* \d+\r?\n", file.read(1024)) is not None


def _open_ranks(path: Path, pattern: str) -> NamedTokenizer:
    tokenizer = BPETokenizer.from_tiktoken(path, pattern=pattern)
    origin = f"read from a tiktoken rank file, with the pattern {pattern}, which it does not hold"
    return NamedTokenizer(tokenizer, str(path), origin, (path,))


def _stories(size: str) -> NamedTokenizer:
    """Learn a tokenizer from the built-in stories, which takes no file and no network."""
    if not size.isdecimal():
        raise TokenizerError(
            f"{STORIES}:{size} names no vocabulary size; write it as {STORIES}:{STORY_VOCAB}"
        )
    tokenizer = BPETokenizer.train(stories_text(STORY_BYTES), int(size))
    origin = f"learned just now from {STORY_BYTES:,} bytes of the built-in stories"
    return NamedTokenizer(tokenizer, f"{STORIES}:{size}", origin)


def _bytes() -> NamedTokenizer:
    tokenizer = BPETokenizer({byte: bytes([byte]) for byte in range(256)}, [], {})
    return NamedTokenizer(tokenizer, BYTES, "built in: every byte a token, no merges")
