"""The texts of one model that are on their way: prompts in chunks, then a token each a step.

Nothing here makes a text depend on the others. A prompt is read in chunks that begin at multiples
of ``CHUNK``, padded where it ends, so that a token is always worked out in a product of the same
shape; then a text is a row of the batch, and the backend's ``TextRows`` keeps rows apart.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator

import numpy as np

from llm_explainer.generation.filters import Scores
from llm_explainer.server.prefix_cache import CHUNK, PrefixCache
from llm_explainer.server.running_text import RunningText
from llm_explainer.server.served import Served
from llm_explainer.server.stats import Stats


class Batch:
    """The running texts of one model.

    Args:
        served: the model.
        prefixes: what earlier prompts left, of all models.
        stats: counts what is done here.
    """

    def __init__(self, served: Served, prefixes: PrefixCache, stats: Stats) -> None:
        self._served, self._prefixes, self._stats = served, prefixes, stats
        self._rows = served.backend.TextRows
        self._reading: deque[RunningText] = deque()  # their prompts
        self._writing: list[RunningText] = []

    def __len__(self) -> int:
        return len(self._reading) + len(self._writing)

    def __iter__(self) -> Iterator[RunningText]:
        yield from self._reading
        yield from self._writing

    def add(self, text: RunningText) -> None:
        """Let a text run from now on."""
        self._reading.append(text)

    def step(self) -> None:
        """Read a chunk of one prompt, and add a token to every text that is beyond its own.

        Prompts take turns. An error that concerns one text ends that text alone.
        """
        self._drop_ended()
        if self._reading:
            text = self._reading[0]
            try:
                self._read_on(text)
            except Exception as error:
                text.ticket.end(error)
            self._drop_ended()
        if self._writing:
            self._write()
            self._drop_ended()

    def end(self, error: Exception) -> None:
        """End all texts with an error."""
        for text in self:
            text.ticket.end(error)
        self._drop_ended()

    def _drop_ended(self) -> None:
        """Let go of texts that have ended, whoever ended them, and of their caches."""
        ended = [text for text in self if text.ticket.ended]
        if ended:
            self._reading = deque(text for text in self._reading if text not in ended)
            self._writing = [text for text in self._writing if text not in ended]
            self._stats.failed += sum(text.ticket.error is not None for text in ended)
            self._stats.finished += sum(text.ticket.finished for text in ended)

    def _read_on(self, text: RunningText) -> None:
        """Read a chunk of the first prompt; let its text begin, or wait for its next turn."""
        logits = self._read(text)
        self._reading.rotate(-1)
        if logits is None:
            return
        self._writing.append(self._reading.pop())
        text.echo()
        if not text.ticket.ended:
            self._choose(text, logits)
            self._stats.first_tokens += 1
            self._stats.first_token_seconds += time.monotonic() - text.ticket.submitted_at

    def _read(self, text: RunningText) -> Scores | None:
        """Read the next chunk of a prompt; return the logits (V,) at its end once that is there."""
        model, prompt = self._served.model, text.ticket.completion.prompt_ids
        cache = text.cache
        if cache is None:
            cache = text.cache = model.make_cache(1, self._capacity(text))
            if not text.scores_prompt:
                self._stats.cached_tokens += self._prefixes.fill(cache, self._served.name, prompt)
        start = int(cache.lengths[0])
        chunk = prompt[start : start + CHUNK]
        end = start + len(chunk)
        tokens = np.zeros((1, min(CHUNK, self._served.context_length - start)), np.int64)
        tokens[0, : len(chunk)] = chunk
        self._stats.prompt_tokens += len(chunk)
        if text.scores_prompt:
            text.score(start, np.asarray(model(tokens, cache))[0])  # (T, V)
            if end < len(prompt):
                return None
            # Once more below, so that what comes next is the same with scores as without.
            cache.trim(np.array([start]))
        logits: Scores = np.asarray(model.next_logits(tokens, cache, np.array([len(chunk)])))[0]
        if end < len(prompt):
            return None
        self._prefixes.keep(cache, self._served.name, prompt)
        self._stats.prefix_bytes = self._prefixes.n_bytes
        return logits

    def _capacity(self, text: RunningText) -> int:
        """Return how many tokens a text's cache is to hold, with the padding of its last chunk."""
        asked = text.ticket.completion
        n_most = len(asked.prompt_ids) + asked.sampling.max_tokens
        return min(self._served.context_length, -(-n_most // CHUNK) * CHUNK)

    def _write(self) -> None:
        """Add a token to each text beyond its prompt."""
        texts = self._writing
        multiple = self._rows.multiple
        tokens = np.zeros((-(-len(texts) // multiple) * multiple, 1), np.int64)  # (B, 1)
        tokens[: len(texts), 0] = [text.ids[-1] for text in texts]
        rows = self._rows([text.cache for text in texts], len(tokens))
        with rows.apart():
            logits = np.asarray(self._served.model.next_logits(tokens, rows, known=True))  # (B, V)
        for text, scores in zip(texts, logits, strict=False):
            try:
                self._choose(text, scores)
            except Exception as error:
                text.ticket.end(error)

    def _choose(self, text: RunningText, logits: Scores) -> None:
        n_before = len(text.ids)
        text.choose(logits)
        self._stats.made_tokens += len(text.ids) - n_before
