"""Training text, from files or from memory."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import not_utf8, shorten

Source = str | os.PathLike[str] | Iterable[str] | Iterable[os.PathLike[str]]
"""A path (a str is one), a list of paths (``Path`` objects), or texts (an iterable of str)."""

_BLOCK_BYTES = 1 << 20


def read_texts(source: Source) -> Iterator[Iterable[str]]:
    """Yield each text as the pieces that it comes in.

    Raises:
        TokenizerError: what is neither a path nor texts; a file that is missing, unreadable or not
            UTF-8.
    """
    if isinstance(source, (str, os.PathLike)):
        yield read_pieces(source)
        return
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise TokenizerError(
            f"training text is {shorten(source)}; it takes a path, a list of paths, or texts"
        )
    for element in source:
        yield read_pieces(element) if isinstance(element, os.PathLike) else [element]


def read_pieces(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a UTF-8 file in blocks of about a mebibyte, line ends as they are.

    Raises:
        TokenizerError: a file that is missing, unreadable or not UTF-8 (says at which byte).
    """
    decoder, n_read = codecs.getincrementaldecoder("utf-8")(), 0
    try:
        with Path(path).open("rb") as file:
            while data := file.read(_BLOCK_BYTES):
                n_read += len(data)
                yield decoder.decode(data)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:  # of what was read last, and half a character before it
        raise not_utf8(path, error, n_read - len(error.object)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TokenizerError(f"cannot read {shorten(str(path))}: {reason}") from None
