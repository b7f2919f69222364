"""The documents of UTF-8 files, in blocks, so that a file larger than memory can be read.

A block is a whole document, or, of a long one, about a mebibyte of it. Documents inside one file
are separated by ``<|endoftext|>``; a file without it is one document.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Literal, NamedTuple, cast

from llm_explainer.data.jsonl_texts import read_jsonl_texts
from llm_explainer.data.pipes import Kept
from llm_explainer.errors import CorpusError
from llm_explainer.text_files import BLOCK_BYTES, NotUtf8Error, read_text_blocks
from llm_explainer.tokenizer.base import END_OF_TEXT
from llm_explainer.tokenizer.readable.cuts import last_cut, last_cut_between_lines

TEXT = (".txt", ".md")
JSONL = (".jsonl", ".ndjson")
GZIP = ".gz"


class TextBlock(NamedTuple):
    """A stretch of text, and whether its document ends with it."""

    text: str
    ends_document: bool


def kind_of(path: Path | Kept) -> str:
    """Return what a file is by its name, packed or not: ``a/Text.TXT.gz`` -> ``.txt``."""
    name = Path(str(path).lower())
    return (name.with_suffix("") if name.suffix == GZIP else name).suffix


def is_compressed(path: Path | Kept) -> bool:
    """Return whether a file is packed, by its name."""
    return str(path).lower().endswith(GZIP)


def open_text(path: Path) -> BinaryIO | io.BufferedReader:
    """Open a file for reading bytes, unpacked where it is packed."""
    return cast(BinaryIO, gzip.open(path)) if is_compressed(path) else path.open("rb")


class _Unpacked:
    """A packed file, which opens as what is in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self, mode: Literal["rb"], /) -> BinaryIO | io.BufferedReader:
        return open_text(self._path)


def read_documents(path: Path | Kept, *, block_bytes: int = BLOCK_BYTES) -> Iterator[TextBlock]:
    """Yield the documents of a file in order, long ones in several blocks; empty ones are dropped.

    Of a JSONL file each line is one document, under ``text``. A file that ends in ``.gz`` is
    unpacked as it is read.

    Separated documents lose the white space around them; a file without separators is given
    exactly as it is, so that its blocks joined are its text.

    Raises:
        CorpusError: the file cannot be read, is not UTF-8, is damaged, or has a line without text.
    """
    if kind_of(path) in JSONL:
        texts = read_jsonl_texts(_decode(path, block_bytes), path)
        yield from (TextBlock(text, ends_document=True) for text in texts)
    else:
        yield from _separated(path, block_bytes)


def _separated(path: Path | Kept, block_bytes: int) -> Iterator[TextBlock]:
    """Yield the documents of a file of plain text."""
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


def _decode(path: Path | Kept, block_bytes: int) -> Iterator[str]:
    """Yield a file's text block by block, without a byte-order mark, which is no text."""
    at_start = True
    source = _Unpacked(path) if isinstance(path, Path) and is_compressed(path) else path
    try:
        for text in read_text_blocks(source, block_bytes=block_bytes):
            if "\0" in text:  # so begins what is packed otherwise, and ASCII as UTF-16 has it
                raise CorpusError(
                    f"{path} is no UTF-8 text: it has bytes of zero; unpack or convert it first"
                )
            yield text.removeprefix("\ufeff") if at_start else text
            at_start = False
    except NotUtf8Error as error:
        raise CorpusError(f"{path} {error}") from error
    except (EOFError, zlib.error) as error:  # in the middle of a packed file
        raise CorpusError(f"cannot read {path}: it is damaged ({error})") from error
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror or error}") from error


def _cut(text: str) -> int:
    """Return where to cut a text in which words stay whole: between two lines, if that can be.

    The last characters are left alone, for they may be the first of a separator.
    """
    end = len(text) - len(END_OF_TEXT)
    head = text[:end]
    return last_cut_between_lines(head) or last_cut(head) or end  # one endless word
