"""Which part of a text is for validation, so that it is of the same kind as what is learned.

Of many documents whole ones, evenly spread; of few a share of each, from its end; of one text its
end. A cut is made between words, and between lines where one ends nearby.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from llm_explainer.data.documents import TextBlock
from llm_explainer.tokenizer.readable.cuts import last_cut, last_cut_between_lines

ENOUGH_DOCUMENTS = 5
"""With so many for validation, whole documents are taken."""

SHORT_SHARE = 200
"""Characters of an average share; documents that are as short as this leaves are taken whole."""

Blocks = Callable[[], Iterator[TextBlock]]


class Split(NamedTuple):
    """What to learn from, what to be judged by, and in words what the latter is."""

    train: Blocks
    validation: Blocks
    description: str


def split(blocks: Blocks, lengths: list[int], fraction: float, *, exact: bool = False) -> Split:
    """Return a text in two parts.

    Args:
        blocks: gives the text.
        lengths: of its documents, in characters.
        fraction: of it for validation.
        exact: cut one text at that very character, as nanoGPT does.
    """
    n_whole = int(fraction * len(lengths))
    share = fraction * sum(lengths) / len(lengths)
    if n_whole >= ENOUGH_DOCUMENTS or (n_whole and share < SHORT_SHARE):
        parts = _whole_documents(blocks, fraction)
        noun = "document" if n_whole == 1 else "documents"
        return Split(*parts, f"validation: {n_whole:,} whole {noun}, evenly spread")
    cuts = [int((1 - fraction) * length) for length in lengths]
    end = f"the last {100 * fraction:.3g} % of " + ("each document" if len(lengths) > 1 else "it")
    return Split(*_ends(blocks, cuts, exact=exact), f"validation: {end}")


def _whole_documents(blocks: Blocks, fraction: float) -> tuple[Blocks, Blocks]:
    """Give a fraction of the documents to validation, evenly spread: of 0.1, every tenth."""

    def select(validation: bool) -> Iterator[TextBlock]:
        document = 0
        for block in blocks():
            if validation == (int(fraction * (document + 1)) > int(fraction * document)):
                yield block
            document += block.ends_document

    return lambda: select(False), lambda: select(True)


def _ends(blocks: Blocks, cuts: list[int], *, exact: bool) -> tuple[Blocks, Blocks]:
    """Give to validation what stands in each document behind a number of characters, about."""
    are_several = len(cuts) > 1

    def parts() -> Iterator[tuple[TextBlock | None, TextBlock | None]]:
        document = n_before = 0  # characters of this document in earlier blocks
        for text, ends_document in blocks():
            left = cuts[document] - n_before
            if n_before and left <= 0:
                yield None, TextBlock(text, ends_document)
            elif len(text) < left and not ends_document:
                yield TextBlock(text, ends_document=False), None
            else:
                # The document's first part ends here, and in a corpus of several a border follows.
                place = min(left, len(text)) if exact else _near(text, left)
                head, tail = text[:place], text[place:]
                yield (
                    TextBlock(head, are_several) if head or n_before else None,
                    TextBlock(tail, ends_document) if tail or ends_document else None,
                )
            n_before += len(text)
            if ends_document:
                document, n_before = document + 1, 0

    return (
        lambda: (first for first, _ in parts() if first is not None),
        lambda: (second for _, second in parts() if second is not None),
    )


def _near(text: str, place: int) -> int:
    """Return where to cut a text at ``place`` or shortly before it."""
    if place >= len(text):
        return len(text)
    near = max(SHORT_SHARE, place // 20)
    start = max(0, place - near)
    head = text[start:place]
    cut = last_cut_between_lines(head) or last_cut(head)
    return start + cut if cut else place


def count(blocks: Iterable[TextBlock]) -> tuple[int, list[int]]:
    """Return how many bytes a text has, and the characters of each of its documents."""
    n_bytes, lengths, is_open = 0, list[int](), False
    for text, ends_document in blocks:
        n_bytes += len(text.encode())
        if not is_open:
            lengths.append(0)
        lengths[-1] += len(text)
        is_open = not ends_document
    return n_bytes, lengths
