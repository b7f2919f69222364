"""Text from UTF-8 files in pieces, so that a file larger than memory can be read.

A piece is a whole document, or, of a long one, about a mebibyte of it. Documents inside one file
are separated by ``<|endoftext|>``; a file without it is one document.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from llm_explainer.data.pipes import Kept
from llm_explainer.errors import CorpusError
from llm_explainer.tokenizer.base import END_OF_TEXT

BLOCK_BYTES = 1 << 20
TEXT_SUFFIXES = (".txt", ".md")


class Piece(NamedTuple):
    """A stretch of text, and whether its document ends with it."""

    text: str
    ends_document: bool


def read_pieces(path: Path | Kept, *, block_bytes: int = BLOCK_BYTES) -> Iterator[Piece]:
    """Yield the documents of a file in order, long ones in several pieces; empty ones are dropped.

    Separated documents lose the white space around them; a file without separators is given
    exactly as it is, so that its pieces joined are its text.

    Raises:
        CorpusError: the file cannot be read, or is not UTF-8.
    """
    pending = ""
    separated = False  # a separator was seen
    begun = False  # an earlier piece holds the beginning of this document
    for text in _decode(path, block_bytes):
        *documents, pending = (pending + text).split(END_OF_TEXT)
        for document in documents:
            document = document.rstrip() if begun else document.strip()
            if document or begun:
                yield Piece(document, ends_document=True)
            separated, begun = True, False
        if separated and not begun:
            pending = pending.lstrip()
        if len(pending) >= block_bytes:
            cut = _safe_cut(pending)
            yield Piece(pending[:cut], ends_document=False)
            pending, begun = pending[cut:], True
    if separated:
        pending = pending.rstrip()
    if pending or begun:
        yield Piece(pending, ends_document=True)


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
    """Yield a file's text block by block; a character cut by a block's end comes with the next."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    n_read = 0  # bytes
    n_held = 0  # of them, the first bytes of a character that is not complete yet
    try:
        with path.open("rb") as file:
            while True:
                block = file.read(block_bytes)
                text = decoder.decode(block, final=not block)
                if n_read == 0:
                    text = text.removeprefix("\ufeff")  # a byte-order mark is no text
                yield text
                n_read += len(block)
                n_held = len(decoder.getstate()[0])
                if not block:
                    return
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"{path} is not UTF-8: byte {error.object[error.start]:#04x} at offset "
            f"{n_read - n_held + error.start:,}; save the file as UTF-8 text"
        ) from error
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error


def _safe_cut(text: str) -> int:
    """Return where to cut so that tokenizers see the same words in both parts as in the whole.

    That is after a line's end with a visible character on either side, or else before a single
    space between two words. Among runs of white space the GPT-2 and GPT-4 patterns look ahead, so
    a cut there would change the tokens. The last characters are left alone, for they may be the
    first of a separator.
    """
    end = len(text) - len(END_OF_TEXT)
    for mark, offset in (("\n", 1), (" ", 0)):
        at = end
        while (at := text.rfind(mark, 1, at)) > 0:
            if not text[at - 1].isspace() and not text[at + 1].isspace():
                return at + offset
    return end  # one endless word


def _looks_like_text(path: Path) -> bool:
    with path.open("rb") as file:
        block = file.read(4096)
    try:
        codecs.getincrementaldecoder("utf-8")().decode(block)
    except UnicodeDecodeError:
        return False
    return b"\0" not in block
