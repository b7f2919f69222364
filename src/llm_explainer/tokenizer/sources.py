"""Training text, from files or from memory, as counted words."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.bpe_training import Progress
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.splitter import Splitter

Source = str | os.PathLike[str] | Iterable[str] | Iterable[os.PathLike[str]]
"""A path (a str is one), a list of paths (``Path`` objects), or texts (an iterable of str)."""

_BLOCK_CHARS = 1 << 20


def count_words(
    source: Source, splitter: Splitter, progress: Progress | None = None
) -> Counter[str]:
    """Return how often each word occurs; memory grows with the distinct words alone.

    Each file and each text of an iterable stands for itself: no word reaches from one to the next.

    Raises:
        TokenizerError: nothing to count; a file that is missing, unreadable or not UTF-8; an
            element that is neither a path nor text.
    """
    counts: Counter[str] = Counter()
    n_chars = 0
    for pieces in _texts(source):
        for words, _ in splitter.stream(pieces, "all"):
            counts.update(words)
            n_chars += sum(map(len, words))
            if progress is not None and words:
                progress("reading", n_chars, 0)
    del counts[""]  # a pattern may match nothing at all
    if not counts:
        raise TokenizerError("the training text is empty; give at least one word to learn from")
    return counts


def _texts(source: Source) -> Iterator[Iterable[str]]:
    """Yield each text as the pieces that it comes in."""
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
    """Yield a UTF-8 file in blocks of about a million characters, line ends as they are.

    Raises:
        TokenizerError: a file that is missing, unreadable or not UTF-8.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            while block := file.read(_BLOCK_CHARS):
                yield block
    except UnicodeDecodeError:
        raise TokenizerError(f"{path} is not UTF-8 text; convert it first") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise TokenizerError(f"cannot read {shorten(str(path))}: {reason}") from None
