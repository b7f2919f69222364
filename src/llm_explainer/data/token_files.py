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
from llm_explainer.errors import CorpusError, TokenizerError
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.tokenizer.checks import require_whole
from llm_explainer.tokenizer.files.token_writer import DTypeName, open_token_file
from llm_explainer.worker_pool import in_order

Tokens = NDArray[np.unsignedinteger]  # (n,)
CHECK_BLOCK = 1 << 22  # ids looked at together by check_ids
EMPTY_LINE = "\n\n"
JOB_CHARS = 1 << 20  # encoded together, because one long call is faster than many


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

    Between documents stands what ``border_of`` says. The file appears whole or not at all. Memory
    stays at a few mebibytes whatever the size of the text.

    Args:
        path: where to; an existing file is replaced.
        text: a split of a corpus.
        tokenizer: anything with the tokenizers' interface.
        dtype: "uint16" or "uint32"; None is the smallest that holds every id.
        workers: processes that encode.
        progress: called now and then with the characters encoded so far.

    Raises:
        CorpusError: the text gives no tokens, the file cannot be written, or ``dtype`` is too small
            for the vocabulary.
        TokenizerError: the tokenizer cannot take the text, or no ``workers``.
    """
    require_whole("workers", workers, 1)
    border = border_of(tokenizer)
    special = {border} & tokenizer.special_tokens.keys()
    n_characters = 0
    with open_token_file(path, tokenizer.vocab_size, dtype) as writer:
        jobs = _jobs(text, border)
        for n_more, ids in in_order(workers, _encode, (tokenizer, special), jobs):
            writer.append(ids)
            n_characters += n_more
            if progress is not None:
                progress(n_characters)
    return writer.n_tokens


def border_of(tokenizer: Tokenizer) -> str:
    """Return what is written between two documents: the name of the token that ends a text.

    A tokenizer without such a token has an empty line there, and nothing where that is no token
    either, as for whole words.
    """
    for name, token_id in tokenizer.special_tokens.items():
        if token_id == tokenizer.end_of_text:
            return name
    try:
        return EMPTY_LINE if len(tokenizer.encode_array(EMPTY_LINE)) else ""
    except TokenizerError:
        return ""


def describe_border(tokenizer: Tokenizer) -> str:
    """Say how documents are set apart, where that is not by a token that ends a text; else "".

    >>> from llm_explainer.tokenizer import CharTokenizer
    >>> describe_border(CharTokenizer.train(["a b"], special_tokens=()))
    'not set apart, because the tokenizer has no token that ends a text'
    """
    border = border_of(tokenizer)
    if border in tokenizer.special_tokens:
        return ""
    how = "set apart by an empty line" if border else "not set apart"
    return f"{how}, because the tokenizer has no token that ends a text"


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


def occurs(tokens: Tokens, token_id: int) -> bool:
    """Return whether an id is among tokens (n,); read in blocks, up to the first one found."""
    starts = range(0, len(tokens), CHECK_BLOCK)
    return any(bool((tokens[at : at + CHECK_BLOCK] == token_id).any()) for at in starts)


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


def _encode(how: tuple[Tokenizer, set[str]], text: str) -> tuple[int, Tokens]:
    """Return how many characters a text has, and its ids."""
    tokenizer, special = how
    return len(text), tokenizer.encode_array(text, allowed_special=special)


def _jobs(text: Text, border: str) -> Iterator[str]:
    """Yield about a million characters at a time, of however many documents."""
    parts: list[str] = []
    n_chars = 0
    document_ended = False
    for block in text.blocks():
        if document_ended:
            parts.append(border)
        parts.append(block.text)
        n_chars += len(block.text)
        document_ended = block.ends_document
        if n_chars >= JOB_CHARS:
            yield "".join(parts)
            parts, n_chars = [], 0
    if parts:
        yield "".join(parts)
