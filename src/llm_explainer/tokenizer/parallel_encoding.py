"""Encoding much at a time, by several processes: lists of texts, and whole files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm_explainer.errors import TokenizerError
from llm_explainer.progress import Progress
from llm_explainer.tokenizer.base import TokenArray, Tokenizer
from llm_explainer.tokenizer.checks import require_whole, shorten
from llm_explainer.tokenizer.files.file_blocks import FileBlock, read_file_blocks
from llm_explainer.tokenizer.files.token_writer import DTypeName, open_token_file
from llm_explainer.tokenizer.readable.special_tokens import AllowedSpecial
from llm_explainer.worker_pool import in_order

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
How = tuple[Tokenizer, AllowedSpecial]  # to encode

_JOB_CHARS = 1 << 18  # of texts that a worker gets at a time


def encode_texts(
    tokenizer: Tokenizer, texts: Iterable[str], allowed: AllowedSpecial, workers: int
) -> Iterator[list[int]]:
    """Yield the ids of every text; see ``PatternTokenizer.encode_batch``."""
    if isinstance(texts, (str, bytes)) or not isinstance(texts, Iterable):
        raise TokenizerError(f"texts are {shorten(texts)}; they come as a list of str")
    require_whole("workers", workers, 1)
    for ids, sizes in in_order(workers, _encode_texts, (tokenizer, allowed), _jobs(texts)):
        end = 0
        for size in sizes:
            yield ids[end : end + size].tolist()
            end += size


def _encode_texts(how: How, texts: list[str]) -> tuple[TokenArray, list[int]]:
    """Return the ids of all texts, and how many each has."""
    tokenizer, allowed = how
    arrays = [tokenizer.encode_array(text, allowed_special=allowed) for text in texts]
    return np.concatenate(arrays), [len(array) for array in arrays]


def _jobs(texts: Iterable[str]) -> Iterator[list[str]]:
    """Yield lists of texts of some hundred thousand characters together."""
    job: list[str] = []
    n_chars = 0
    for text in texts:
        job.append(text)
        n_chars += len(text) if isinstance(text, str) else 0  # what is no text is refused later
        if n_chars >= _JOB_CHARS:
            yield job
            job, n_chars = [], 0
    if job:
        yield job


def encode_files(
    tokenizer: Tokenizer,
    source: Paths,
    target: str | os.PathLike[str],
    last_cut: Callable[[bytes], int],
    *,
    allowed: AllowedSpecial,
    dtype: DTypeName | None,
    workers: int,
    progress: Progress | None,
) -> int:
    """Write the ids of text files to a token file; see ``PatternTokenizer.encode_file``.

    Args:
        last_cut: returns the last place where the bytes of a text can be cut, 0 if none.
    """
    require_whole("workers", workers, 1)
    paths = _paths(source, target)
    n_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    n_done = 0
    with open_token_file(target, tokenizer.vocab_size, dtype) as writer:
        blocks = _blocks(paths, last_cut, tokenizer.end_of_text)
        for n_more, ids in in_order(workers, _encode_block, (tokenizer, allowed), blocks):
            writer.append(ids)
            n_done += n_more
            if progress is not None and n_more:
                progress("encoding", n_done, n_bytes)
    return writer.n_tokens


def _encode_block(how: How, block: FileBlock | int) -> tuple[int, NDArray[np.integer]]:
    """Return how many bytes a block has, and its ids; a number is the id between two files."""
    if isinstance(block, int):
        return 0, np.array([block], np.uint32)
    tokenizer, allowed = how
    return len(block.data), tokenizer.encode_array(block.text(), allowed_special=allowed)


def _blocks(
    paths: Iterable[Path], last_cut: Callable[[bytes], int], end_of_text: int | None
) -> Iterator[FileBlock | int]:
    for place, path in enumerate(paths):
        if place and end_of_text is not None:
            yield end_of_text
        yield from read_file_blocks(path, last_cut)


def _paths(source: Paths, target: str | os.PathLike[str]) -> list[Path]:
    if isinstance(source, (str, os.PathLike)):
        source = [source]
    if not isinstance(source, Sequence) or not all(
        isinstance(path, (str, os.PathLike)) for path in source
    ):
        raise TokenizerError(f"source is {shorten(source)}; it takes a path, or a list of paths")
    paths = [Path(path) for path in source]
    for path in paths:
        if path.exists() and Path(target).exists() and path.samefile(target):
            raise TokenizerError(f"{path} would be overwritten by its own ids; give another target")
    return paths
