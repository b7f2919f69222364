"""Token files: a corpus as one array of ids on disk, read by memory mapping.

The format is NumPy's own ``.npy``, 16 bits an id (32 when the vocabulary needs them): any tool
opens it with ``np.load``, and a file of any size costs no memory, because the system fetches the
pages that a batch touches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from llm_explainer.data.corpora import Text
from llm_explainer.data.text_files import BLOCK_BYTES
from llm_explainer.errors import CorpusError
from llm_explainer.tokenizer.base import END_OF_TEXT, Tokenizer
from llm_explainer.tokenizer.crew import in_order
from llm_explainer.tokenizer.token_writer import DTypeName, open_token_file

Tokens = NDArray[np.unsignedinteger]  # (n,)
CHECK_BLOCK = 1 << 22  # ids looked at together by check_ids


def write_tokens(
    path: str | Path,
    text: Text,
    tokenizer: Tokenizer,
    *,
    dtype: DTypeName | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Encode a text into a token file; return the number of tokens.

    Between documents stands the tokenizer's end-of-text token, if it has one. The file appears
    whole or not at all. Memory stays at a few mebibytes whatever the size of the text.

    Args:
        path: where to; an existing file is replaced.
        text: a split of a corpus.
        tokenizer: anything with the tokenizers' interface.
        dtype: "uint16" or "uint32"; None is the smallest that holds every id.
        workers: processes that encode.
        progress: called after each block with the characters encoded so far.

    Raises:
        CorpusError: the text gives no tokens, the file cannot be written, or ``dtype`` is too small
            for the vocabulary.
        TokenizerError: the tokenizer cannot take the text, or no ``workers``.
    """
    special = set() if tokenizer.end_of_text is None else {END_OF_TEXT}
    n_characters = 0
    with open_token_file(path, tokenizer.vocab_size, dtype) as writer:
        blocks = _blocks(text, separate=bool(special))
        for n_more, ids in in_order(workers, _encode, (tokenizer, special), blocks):
            writer.append(ids)
            n_characters += n_more
            if progress is not None:
                progress(n_characters)
    return writer.n_tokens


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


def _encode(job: tuple[Tokenizer, set[str]], block: str) -> tuple[int, Tokens]:
    """Return how many characters a block has, and its ids."""
    tokenizer, special = job
    return len(block), tokenizer.encode_array(block, allowed_special=special)


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
