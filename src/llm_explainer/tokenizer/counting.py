"""How often each word occurs: the only thing about a text that training looks at."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.bpe_training import Progress
from llm_explainer.tokenizer.patterns import PATTERNS
from llm_explainer.tokenizer.sources import Source, read_texts
from llm_explainer.tokenizer.splitter import Splitter, checked_pieces

_BATCH_CHARS = 1 << 20  # characters that a worker gets at a time

Pieces = Iterable[str]


def count_words(
    source: Source,
    splitter: Splitter,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Counter[str]:
    """Return how often each word occurs; memory grows with the distinct words alone.

    Each file and each text of an iterable stands for itself: no word reaches from one to the next.
    More than one worker helps with the patterns that have a name; only for those is it known where
    a text can be cut without looking for its words.

    Raises:
        TokenizerError: nothing to count; a file that is missing, unreadable or not UTF-8; an
            element that is neither a path nor text; workers that cannot start.
    """
    texts = read_texts(source)
    alone = workers == 1 or splitter.pattern not in PATTERNS or has_space(splitter.special_tokens)
    counts: Counter[str] = Counter()
    n_chars = 0
    for n_more, part in _count(texts, splitter) if alone else _share(texts, splitter, workers):
        counts.update(part)
        n_chars += n_more
        if progress is not None:
            progress("reading", n_chars, 0)
    del counts[""]  # a pattern may match nothing at all
    if not counts:
        raise TokenizerError("the training text is empty; give at least one word to learn from")
    return counts


def _count(texts: Iterable[Pieces], splitter: Splitter) -> Iterator[tuple[int, Iterable[str]]]:
    """Yield how many characters were read, and the words in them."""
    for pieces in texts:
        for words, special in splitter.stream(pieces):
            yield sum(map(len, words)) + len(special), words


def _share(
    texts: Iterable[Pieces], splitter: Splitter, workers: int
) -> Iterator[tuple[int, Counter[str]]]:
    """Yield how many characters were read, and the count of their words, by other processes."""
    pending: deque[tuple[int, Future[Counter[str]]]] = deque()
    with ProcessPoolExecutor(workers) as pool:
        try:
            for batch in _batches(texts):
                job = pool.submit(_count_batch, batch, splitter.pattern, splitter.special_tokens)
                pending.append((sum(map(len, batch)), job))
                # No more than the workers need to stay busy, or the whole text would be held here.
                while len(pending) > 2 * workers:
                    n_chars, job = pending.popleft()
                    yield n_chars, job.result()
            for n_chars, job in pending:
                yield n_chars, job.result()
        except BrokenProcessPool:
            raise TokenizerError(
                f"{workers} workers could not start or were stopped; use workers=1, or put the "
                'script\'s own code under: if __name__ == "__main__"'
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _count_batch(batch: list[str], pattern: str, special_tokens: Iterable[str]) -> Counter[str]:
    splitter = Splitter(pattern, special_tokens)
    counts: Counter[str] = Counter()
    for text in batch:
        for words, _ in splitter.stream([text]):
            counts.update(words)
    return counts


def _batches(texts: Iterable[Pieces]) -> Iterator[list[str]]:
    """Yield lists of texts, or of parts of texts, of some million characters together."""
    batch: list[str] = []
    size = 0
    for pieces in texts:
        rest = ""
        for piece in checked_pieces(pieces):
            rest += piece
            if len(rest) >= _BATCH_CHARS:
                cut = last_cut(rest)
                yield [*batch, rest[:cut]]
                batch, size, rest = [], 0, rest[cut:]
        batch.append(rest)
        size += len(rest)
        if size >= _BATCH_CHARS:
            yield batch
            batch, size = [], 0
    yield batch


def last_cut(text: str) -> int:
    """Return the last place where a word begins whatever stands before and after, or 0.

    That is, with every pattern that has a name, where a blank follows on something else than white
    space; or, failing that, behind a single end of line between two such things.
    """
    cut = text.rfind(" ")
    while cut > 0 and text[cut - 1].isspace():
        cut = text.rfind(" ", 0, cut)
    if cut > 0:
        return cut
    end = text.rfind("\n", 0, len(text) - 1)
    while end > 0 and (text[end - 1].isspace() or text[end + 1].isspace()):
        end = text.rfind("\n", 0, end)
    return end + 1 if end > 0 else 0


def has_space(special_tokens: Iterable[str]) -> bool:
    """Return whether ``last_cut`` may cut through a special token."""
    return any(" " in name or "\n" in name for name in special_tokens)
