"""Corpora by name or path: where training and validation text comes from.

``stories`` is made on the fly and needs nothing; ``shakespeare``, ``verdict`` and ``tinystories``
come by verified download; ``-`` is standard input; anything else is the path of a text or JSONL
file, perhaps packed (.gz), of a folder of them, or of a pipe. Texts are streamed: a corpus is never
held in memory.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from llm_explainer.data import download as downloads
from llm_explainer.data.documents import TextBlock, read_documents
from llm_explainer.data.pipes import Kept, is_pipe, keep
from llm_explainer.data.splits import count, split
from llm_explainer.data.stories import stories_text
from llm_explainer.data.text_files import find_text_files
from llm_explainer.errors import CorpusError

NAMES = ("auto", "stories", "shakespeare", "verdict", "tinystories")
STORY_BYTES = 4_000_000
"""How much of the endless stories is taken when nobody says how much."""

VALIDATION_FRACTION = 0.1
VALIDATION_SEED_OFFSET = 1 << 32  # stories for validation come from seeds that nobody types
AUTO_TIMEOUT_S = 5.0


@dataclass(frozen=True)
class Text:
    """One split of a corpus. Iterating gives strings, and may be done as often as wanted.

    A string is a document, or, of a long one, a stretch of it; ``blocks()`` tells which.
    """

    blocks: Callable[[], Iterator[TextBlock]]
    size_bytes: int  # of UTF-8; for stories and cut corpora about that

    def __iter__(self) -> Iterator[str]:
        for block in self.blocks():
            yield block.text

    def has_borders(self) -> bool:
        """Return whether there are several documents in it."""
        ended = False
        for block in self.blocks():
            if ended:
                return True
            ended = block.ends_document
        return False

    def first(self, n_bytes: int) -> Text:
        """Return the text's beginning.

        Raises:
            CorpusError: there is not as much.
        """
        if not 1 <= n_bytes <= self.size_bytes:
            raise CorpusError(
                f"{n_bytes:,} bytes of a text of {self.size_bytes:,}; take 1 to {self.size_bytes:,}"
            )
        return Text(lambda: _limit(self.blocks(), n_bytes, ends_document=False), n_bytes)


@dataclass(frozen=True)
class Corpus:
    """Text to train on and text to validate on."""

    name: str  # one of ``NAMES`` but "auto", or the path
    description: str  # one line for people: which text, how much, what was left out and why
    train: Text
    validation: Text
    whole: Text | None = None  # of files: both, in the order in which they were written


def load_corpus(
    name: str | Path,
    *,
    seed: int = 0,
    max_bytes: int | None = None,
    val_fraction: float = VALIDATION_FRACTION,
    progress: downloads.BytesProgress | None = None,
) -> Corpus:
    """Return the corpus of that name or path.

    A tenth, or another fraction, is for validation. Of one continuous text the last tenth; of some
    documents the last tenth of each, of many every tenth document (see ``splits``); of Shakespeare
    the last tenth to the character, as in nanoGPT; of the stories, stories from another seed; of
    TinyStories, its own validation file.

    Args:
        name: one of ``NAMES``, or ``-``, or the path of a text file or folder. ``auto`` is
            Shakespeare when cached or reachable, otherwise the stories; ``description`` says which
            and why.
        seed: which stories; the other corpora do not depend on it.
        max_bytes: take about this much text, of both splits together; None is all of it.
        val_fraction: above 0 and below 1.
        progress: called during a download with (bytes that we have, bytes in all).

    Raises:
        CorpusError: no such name or path, no text, not UTF-8, unreadable, a failed download; a
            number of bytes or a fraction that cannot work.
    """
    if max_bytes is not None and max_bytes < 1:
        raise CorpusError(f"max_bytes is {max_bytes}; it takes 1 or more, or none for everything")
    if not 0 < val_fraction < 1:
        raise CorpusError(f"val_fraction is {val_fraction}; it takes a number above 0 and below 1")
    match str(name):
        case "auto":
            return _auto(seed, max_bytes, val_fraction, progress)
        case "stories":
            return _stories(seed, max_bytes or STORY_BYTES, val_fraction)
        case "shakespeare":
            path = downloads.download(downloads.SHAKESPEARE, progress=progress)
            return _from_files("shakespeare", _Files([path]), max_bytes, val_fraction, exact=True)
        case "verdict":
            path = downloads.download(downloads.VERDICT, progress=progress)
            return _from_files("verdict", _Files([path]), max_bytes, val_fraction, exact=True)
        case "tinystories":
            return _tinystories(max_bytes, val_fraction, progress)
    files = _text_files(name)
    if files.paths:
        return _from_files(str(name), files, max_bytes, val_fraction)
    raise CorpusError(
        f"no corpus or file {str(name)!r}; choose one of {', '.join(NAMES)}, the path of a "
        f"text file or folder, or - for a pipe"
    )


def _auto(
    seed: int, max_bytes: int | None, fraction: float, progress: downloads.BytesProgress | None
) -> Corpus:
    try:
        path = downloads.download(
            downloads.SHAKESPEARE, progress=progress, timeout_s=AUTO_TIMEOUT_S
        )
    except CorpusError:
        stories = _stories(seed, max_bytes or STORY_BYTES, fraction)
        why = "Shakespeare is neither cached nor reachable"
        return Corpus("stories", f"{stories.description}; {why}", stories.train, stories.validation)
    return _from_files("shakespeare", _Files([path]), max_bytes, fraction, exact=True)


def _stories(seed: int, size: int, fraction: float) -> Corpus:
    def text(seed: int, size: int) -> Text:
        return Text(lambda: (TextBlock(story, True) for story in stories_text(size, seed)), size)

    n_train = max(1, int((1 - fraction) * size))
    return Corpus(
        name="stories",
        description=f"stories: {_amount(size)} of built-in stories, seed {seed}",
        train=text(seed, n_train),
        validation=text(seed + VALIDATION_SEED_OFFSET, max(1, size - n_train)),
    )


def _tinystories(
    max_bytes: int | None, fraction: float, progress: downloads.BytesProgress | None
) -> Corpus:
    def text(file: downloads.RemoteFile, share: float) -> Text:
        path = downloads.download(file, progress=progress)
        limit = None if max_bytes is None else max(1, int(share * max_bytes))
        return Text(lambda: _limit(read_documents(path), limit), min(limit or file.size, file.size))

    validation = text(downloads.TINYSTORIES_VALID, fraction)
    train = text(downloads.TINYSTORIES_TRAIN, 1 - fraction)
    amount = _amount(train.size_bytes + validation.size_bytes)
    return Corpus("tinystories", f"tinystories: {amount}", train, validation)


@dataclass(frozen=True)
class _Files:
    """What a path stands for."""

    paths: Sequence[Path | Kept]
    left_out: str = ""  # and why, in words


def _text_files(name: str | Path) -> _Files:
    """Return the files that a path stands for; none if there is nothing of that name."""
    if is_pipe(name):
        return _Files([keep(str(name))])
    path = Path(name)
    try:
        if path.is_dir() and str(name):  # an empty name would be the current folder
            found = find_text_files(path)
            return _Files(found.texts, found.describe())
        return _Files([path] if path.is_file() else [])
    except OSError as error:
        raise CorpusError(f"cannot read {str(name)!r}: {error.strerror or error}") from error


def _from_files(
    name: str, files: _Files, max_bytes: int | None, fraction: float, *, exact: bool = False
) -> Corpus:
    """Split the text of files; one pass over it counts, and finds what is not UTF-8.

    ``exact``: as ``splits.split`` has it.
    """

    def blocks() -> Iterator[TextBlock]:
        every = itertools.chain.from_iterable(read_documents(path) for path in files.paths)
        return _limit(every, max_bytes)

    n_bytes, lengths = count(blocks())
    if not sum(lengths):
        raise CorpusError(f"corpus {name} is empty; it takes a file with some UTF-8 text")
    parts = split(blocks, lengths, fraction, exact=exact)
    n_train = int((1 - fraction) * n_bytes)
    documents = f" in {len(lengths):,} documents" if len(lengths) > 1 else ""
    amount = f"{name}: {_amount(n_bytes)}{documents}"
    return Corpus(
        name=name,
        description="; ".join(filter(None, (amount, files.left_out, parts.description))),
        train=Text(parts.train, n_train),
        validation=Text(parts.validation, n_bytes - n_train),
        whole=Text(blocks, n_bytes),
    )


def _limit(
    blocks: Iterable[TextBlock], max_bytes: int | None, *, ends_document: bool = True
) -> Iterator[TextBlock]:
    """Yield blocks up to a number of bytes; the last one may be cut, never inside a character.

    ``ends_document`` says whether a cut is the end of a document.
    """
    if max_bytes is None:
        yield from blocks
        return
    left = max_bytes
    for block in blocks:
        encoded = block.text.encode()
        if len(encoded) >= left:
            yield TextBlock(encoded[:left].decode(errors="ignore"), ends_document)
            return
        yield block
        left -= len(encoded)


def _amount(n_bytes: int) -> str:
    return f"{n_bytes:,} bytes"
