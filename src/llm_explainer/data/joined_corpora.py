"""Several corpora as one: their training texts one after the other, and so their validation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from llm_explainer.data.corpora import VALIDATION_FRACTION, Corpus, Text, load_corpus
from llm_explainer.data.documents import TextBlock
from llm_explainer.errors import CorpusError
from llm_explainer.progress import Progress


def load_corpora(
    names: Sequence[str],
    *,
    max_bytes: int | None = None,
    val_fraction: float = VALIDATION_FRACTION,
    progress: Progress = lambda stage, done, total: None,
) -> Corpus:
    """Return the corpora of those names or paths as one.

    Each is split for itself, so that validation has text of every one.

    Args:
        names: as ``load_corpus`` takes them.
        max_bytes: of each; None is all of it.
        val_fraction: of each.
        progress: called during a download, with bytes.

    Raises:
        CorpusError: none, or one twice; and as ``load_corpus``.
    """
    if not names:
        raise CorpusError("no corpus; give a name such as stories, or text files or folders")
    for name in names:
        if names.count(name) > 1:
            raise CorpusError(f"corpus {name!r} is given twice; once would do")
    corpora = [
        load_corpus(
            name,
            max_bytes=max_bytes,
            val_fraction=val_fraction,
            progress=lambda done, total: progress("downloading", done, total),
        )
        for name in names
    ]
    if len(corpora) == 1:
        return corpora[0]
    return Corpus(
        name="+".join(corpus.name for corpus in corpora),
        description="; ".join(corpus.description for corpus in corpora),
        train=_joined([corpus.train for corpus in corpora]),
        validation=_joined([corpus.validation for corpus in corpora]),
    )


def _joined(texts: Sequence[Text]) -> Text:
    """Return texts as one, in which each begins a document of its own."""

    def blocks() -> Iterator[TextBlock]:
        for text in texts:
            ended = True
            for block in text.blocks():
                yield block
                ended = block.ends_document
            if not ended:  # the cut between the splits went through a document
                yield TextBlock("", ends_document=True)

    return Text(blocks, sum(text.size_bytes for text in texts))
