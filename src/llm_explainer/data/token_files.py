"""Token files: a corpus as one array of ids on disk, read by memory mapping.

The format is NumPy's own ``.npy``, 16 bits an id (32 when the vocabulary needs them): any tool
opens it with ``np.load``, and a file of any size costs no memory, because the system fetches the
pages that a batch touches.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from llm_explainer.data.corpora import Text
from llm_explainer.data.text_files import BLOCK_BYTES
from llm_explainer.errors import CorpusError
from llm_explainer.tokenizer.base import END_OF_TEXT, Tokenizer, token_dtype

Tokens = NDArray[np.unsignedinteger]  # (n,)
CHECK_BLOCK = 1 << 22  # ids looked at together by check_ids


def write_tokens(
    path: str | Path,
    text: Text,
    tokenizer: Tokenizer,
    *,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Encode a text into a token file; return the number of tokens.

    Between documents stands the tokenizer's end-of-text token, if it has one. The file appears
    whole or not at all. Memory stays at a few mebibytes whatever the size of the text.

    Args:
        path: where to; an existing file is replaced.
        text: a split of a corpus.
        tokenizer: anything with the tokenizers' interface.
        progress: called after each block with the characters encoded so far.

    Raises:
        CorpusError: the text gives no tokens, or the file cannot be written.
        TokenizerError: the tokenizer cannot take the text.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            n_tokens = _write(file, text, tokenizer, progress)
            file.flush()
            os.fsync(file.fileno())
        if not n_tokens:
            raise CorpusError(f"no tokens for {path}: the text is empty; it takes some text")
        temporary.replace(path)
    except OSError as error:
        raise CorpusError(
            f"cannot write token file {path}: {error.strerror or error}; choose a folder that "
            f"exists, is writable and has room"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # most often it is gone: it has the real name now
            temporary.unlink()
    return n_tokens


def open_tokens(path: str | Path) -> Tokens:
    """Return the ids of a token file as a read-only memory-mapped array (n,).

    Raises:
        CorpusError: missing, damaged, not ``.npy``, or not a flat array of unsigned integers.
    """
    try:
        # Reads .npy only: unlike np.load it knows neither pickles nor zip archives.
        tokens = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise CorpusError(
            f"no token file {path}; it takes the path of a .npy file of token ids"
        ) from error
    except Exception as error:  # a damaged header can make NumPy raise nearly anything
        reason = " ".join(str(error).split())
        raise CorpusError(
            f"{path} is not a token file or is damaged ({reason}); it takes a .npy file of ids"
        ) from error
    if tokens.ndim != 1 or tokens.dtype.kind != "u" or not tokens.size:
        raise CorpusError(
            f"{path} holds {tokens.dtype} of shape {tokens.shape}; token ids are a flat array of "
            f"uint16 or uint32 that is not empty"
        )
    return np.asarray(tokens)  # the same mapped memory; plain arrays are indexed faster


def check_ids(tokens: Tokens, vocab_size: int) -> None:
    """Refuse ids that a model of ``vocab_size`` tokens does not have; read in blocks.

    Raises:
        CorpusError: naming the first such id and its position.
    """
    for start in range(0, len(tokens), CHECK_BLOCK):
        block = tokens[start : start + CHECK_BLOCK]
        if int(block.max()) >= vocab_size:
            position = int(np.argmax(block >= vocab_size))
            raise CorpusError(
                f"token {start + position:,} has id {block[position]}, but the vocabulary has "
                f"{vocab_size:,} ids; encode the text again with this model's tokenizer"
            )


def _write(
    file: BinaryIO, text: Text, tokenizer: Tokenizer, progress: Callable[[int], None] | None
) -> int:
    dtype = token_dtype(tokenizer.vocab_size)
    _write_header(file, dtype, 0)  # to be overwritten when the length is known
    start = file.tell()
    n_tokens = n_characters = 0
    special = set() if tokenizer.end_of_text is None else {END_OF_TEXT}
    for block in _blocks(text, separate=bool(special)):
        ids = tokenizer.encode_array(block, allowed_special=special)
        file.write(ids.tobytes())
        n_tokens += len(ids)
        n_characters += len(block)
        if progress is not None:
            progress(n_characters)
    file.seek(0)
    _write_header(file, dtype, n_tokens)
    assert file.tell() == start  # NumPy leaves room in the header for the length to grow
    return n_tokens


def _write_header(file: BinaryIO, dtype: np.dtype[np.unsignedinteger], n_tokens: int) -> None:
    header = {"descr": dtype.str, "fortran_order": False, "shape": (n_tokens,)}
    np.lib.format.write_array_header_1_0(file, header)


def _blocks(text: Text, *, separate: bool) -> Iterator[str]:
    """Yield about a mebibyte of documents at a time, because one long call encodes faster."""
    parts: list[str] = []
    size = 0
    document_ended = False
    for piece in text.pieces():
        if document_ended and separate:
            parts.append(END_OF_TEXT)
        parts.append(piece.text)
        size += len(piece.text)
        document_ended = piece.ends_document
        if size >= BLOCK_BYTES:
            yield "".join(parts)
            parts, size = [], 0
    if parts:
        yield "".join(parts)
