"""What the commands that take corpora and tokenizers share: help, names, and how many processes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from llm_explainer.errors import CorpusError

CORPUS_HELP = "stories, shakespeare, verdict, tinystories, text files and folders, or - for a pipe"
SPEC_HELP = (
    "a run's folder, a tokenizer.json, a folder with GPT-2's vocab.json and merges.txt, a tiktoken "
    "rank file (FILE:gpt2 for GPT-2's pattern), stories:SIZE, or bytes"
)
MOST_WORKERS = 4  # by default: one process reads, and that is when it can hardly keep up


def name_of(corpora: Sequence[str], name: str | None) -> str:
    """Return ``name``, or without one that of the first corpus: ``texts/notes.txt`` -> ``notes``.

    Raises:
        CorpusError: what cannot be the name of a file.
    """
    from llm_explainer.data.pipes import STDIN

    if name is None:
        if corpora and corpora[0] == STDIN:
            return "pipe"
        path = Path(corpora[0]) if corpora else Path("corpus")
        return path.stem or path.resolve().name or "corpus"
    if not name or name.startswith(".") or not name.isprintable() or Path(name).name != name:
        raise CorpusError(f"--name is {name!r}; it takes a plain name, such as notes")
    return name


def workers_or_default(workers: int | None) -> int:
    """Return how many processes to use: as asked for, or one for each of the first processors.

    Raises:
        CorpusError: fewer than one.
    """
    from llm_explainer.machine import available_cores

    if workers is not None and workers < 1:
        raise CorpusError(f"--workers is {workers}; it takes 1 or more")
    return min(available_cores(), MOST_WORKERS) if workers is None else workers
