"""How often each word occurs: the only thing about a text that training looks at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from llm_explainer.errors import TokenizerError
from llm_explainer.progress import Progress
from llm_explainer.tokenizer.readable.splitting import Splitter

Texts = Iterable[Iterable[str]]
"""Texts that stand for themselves, each as the blocks that it comes in."""


def count_words(
    texts: Texts, splitter: Splitter, *, progress: Progress | None = None
) -> Counter[str]:
    """Return how often each word occurs; memory grows with the distinct words alone.

    No word reaches from one text to the next.

    Raises:
        TokenizerError: nothing to count; text that ``Splitter.stream`` refuses.
    """
    counts: Counter[str] = Counter()
    n_chars = 0
    for blocks in texts:
        for words, special in splitter.stream(blocks):
            counts.update(words)
            n_chars += sum(map(len, words)) + len(special)
            if progress is not None:
                progress("reading", n_chars, 0)
    del counts[""]  # a pattern may match nothing at all
    require_words(len(counts))
    return counts


def require_words(n_words: int) -> None:
    """Refuse to learn from nothing.

    Raises:
        TokenizerError: there are no words.
    """
    if not n_words:
        raise TokenizerError("the training text is empty; give at least one word to learn from")
