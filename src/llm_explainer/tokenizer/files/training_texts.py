"""Training text, from files or from memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from llm_explainer.errors import TokenizerError
from llm_explainer.text_files import NotUtf8Error, read_text_blocks
from llm_explainer.tokenizer.checks import cannot_read, shorten

Source = str | os.PathLike[str] | Iterable[str] | Iterable[os.PathLike[str]]
"""A path (a str is one), a list of paths (``Path`` objects), or texts (an iterable of str)."""


def read_texts(source: Source) -> Iterator[Iterable[str]]:
    """Yield each text as the blocks that it comes in.

    Raises:
        TokenizerError: what is neither a path nor texts; a file that is missing, unreadable or not
            UTF-8.
    """
    if isinstance(source, str) and _is_no_path(source):
        raise TokenizerError(
            f"training text is {shorten(source)}; a str is a path, and a text comes in a list: "
            "[text]"
        )
    if isinstance(source, (str, os.PathLike)):
        yield read_file(source)
        return
    if isinstance(source, bytes) or not isinstance(source, Iterable):
        raise TokenizerError(
            f"training text is {shorten(source)}; it takes a path, a list of paths, or texts"
        )
    for element in source:
        yield read_file(element) if isinstance(element, os.PathLike) else [element]


def _is_no_path(text: str) -> bool:
    """Return whether a str can only be a text: it has lines, or is longer than a name may be."""
    return "\n" in text or len(text.rpartition("/")[2].encode("utf-8", "surrogatepass")) > 255


def read_file(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield a UTF-8 file in blocks of about a mebibyte, line ends as they are.

    Raises:
        TokenizerError: a file that is missing, unreadable or not UTF-8 (says at which byte).
    """
    try:
        yield from read_text_blocks(path)
    except NotUtf8Error as error:
        raise TokenizerError(f"{path} {error}") from None
    except (OSError, ValueError) as error:
        raise cannot_read(path, error) from None
