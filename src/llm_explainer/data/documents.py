"""The documents of UTF-8 files, in blocks, so that a file larger than memory can be read.

A block is a whole document, or, of a long one, about a mebibyte of it. Documents inside one file
are separated by ``<|endoftext|>``; a file without it is one document.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llm_explainer.data.pipes import Kept
from llm_explainer.errors import CorpusError
from llm_explainer.text_files import BLOCK_BYTES, NotUtf8Error, read_text_blocks
from llm_explainer.tokenizer.base import END_OF_TEXT
from llm_explainer.tokenizer.readable.cuts import last_cut, last_cut_between_lines

TEXT_SUFFIXES = (".txt", ".md")


class TextBlock(NamedTuple):
    """A stretch of text, and whether its document ends with it."""

    text: str
    ends_document: bool


def read_documents(path: Path | Kept, *, block_bytes: int = BLOCK_BYTES) -> Iterator[TextBlock]:
    """Yield the documents of a file in order, long ones in several blocks; empty ones are dropped.

    Separated documents lose the white space around them; a file without separators is given
    exactly as it is, so that its blocks joined are its text.

    Raises:
        CorpusError: the file cannot be read, or is not UTF-8.
    """
    pending = ""
    separated = False  # a separator was seen
    begun = False  # an earlier block holds the beginning of this document
    for text in _decode(path, block_bytes):
        *documents, pending = (pending + text).split(END_OF_TEXT)
        for document in documents:
            document = document.rstrip() if begun else document.strip()
            if document or begun:
                yield TextBlock(document, ends_document=True)
            separated, begun = True, False
        if separated and not begun:
            pending = pending.lstrip()
        if len(pending) >= block_bytes:
            cut = _cut(pending)
            yield TextBlock(pending[:cut], ends_document=False)
            pending, begun = pending[cut:], True
    if separated:
        pending = pending.rstrip()
    if pending or begun:
        yield TextBlock(pending, ends_document=True)


def find_text_files(folder: Path) -> list[Path]:
    """Return the text files under a folder, sorted by their path; hidden ones are left out.

    ``.txt`` and ``.md`` files are always taken; another file is taken if it begins like UTF-8 text.

    Raises:
        CorpusError: the folder cannot be read, or holds no text.
    """
    try:
        files = [
            path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
            and not any(part.startswith(".") for part in path.relative_to(folder).parts)
            and (path.suffix.lower() in TEXT_SUFFIXES or _looks_like_text(path))
        ]
    except OSError as error:
        raise CorpusError(f"cannot read folder {folder}: {error.strerror or error}") from error
    if not files:
        raise CorpusError(f"folder {folder} holds no text; put UTF-8 .txt or .md files in it")
    return files


def _decode(path: Path | Kept, block_bytes: int) -> Iterator[str]:
    """Yield a file's text block by block, without a byte-order mark, which is no text."""
    at_start = True
    try:
        for text in read_text_blocks(path, block_bytes=block_bytes):
            yield text.removeprefix("\ufeff") if at_start else text
            at_start = False
    except NotUtf8Error as error:
        raise CorpusError(f"{path} {error}") from error
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error


def _cut(text: str) -> int:
    """Return where to cut a text in which words stay whole: between two lines, if that can be.

    The last characters are left alone, for they may be the first of a separator.
    """
    end = len(text) - len(END_OF_TEXT)
    head = text[:end]
    return last_cut_between_lines(head) or last_cut(head) or end  # one endless word


def _looks_like_text(path: Path) -> bool:
    with path.open("rb") as file:
        block = file.read(4096)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(block)
    except UnicodeDecodeError:
        return False
    return b"\0" not in block
