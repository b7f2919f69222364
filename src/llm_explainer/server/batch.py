"""The texts of one model that are on their way: prompts in chunks, then a token each a step.

Nothing here makes a text depend on the others. A prompt is read in chunks of ``CHUNK`` tokens that
begin at multiples of it, padded where it ends, so that a token is always worked out in a product of
the same shape; and a step has always ``ROWS`` rows, whoever is there.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from llm_explainer.generation.filters import Scores
from llm_explainer.server.requests import TokenScore
from llm_explainer.server.running_text import RunningText, Served

CHUNK = 32
"""Tokens of a prompt that are read at a time: others wait no longer than that for their next."""

ROWS = 8
"""Rows of a step. More texts take several steps, of as many rows each."""


class Batch:
    """The running texts of one model.

    Args:
        served: the model.
    """

    def __init__(self, served: Served) -> None:
        self._served = served
        self._rows = served.backend.TextRows
        self._reading: deque[RunningText] = deque()  # their prompts
        self._writing: list[RunningText] = []
        self._scores: dict[RunningText, list[TokenScore]] = {}  # of prompts, so far

    def __len__(self) -> int:
        return len(self._reading) + len(self._writing)

    def add(self, text: RunningText) -> None:
        """Let a text run from now on."""
        self._reading.append(text)

    def step(self) -> tuple[int, int]:
        """Read a chunk of one prompt, add a token to every text that is beyond its own.

        Prompts take turns. Returns how many tokens were read, and how many were made.
        """
        self._drop_cancelled()
        n_read = n_made = 0
        if self._reading:
            text = self._reading.popleft()
            n_read, logits = self._guarded(text, self._read, text) or (0, None)
            if logits is not None:
                n_made += self._begin(text, logits)
            elif not text.ticket.ended:
                self._reading.append(text)
        for first in range(0, len(self._writing), ROWS):
            n_made += self._write(self._writing[first : first + ROWS])
        self._writing = [text for text in self._writing if not text.ticket.ended]
        return n_read, n_made

    def _drop_cancelled(self) -> None:
        self._reading = deque(text for text in self._reading if not text.ticket.ended)
        self._writing = [text for text in self._writing if not text.ticket.ended]

    def _read(self, text: RunningText) -> tuple[int, Scores | None]:
        """Read the next chunk of a prompt; return its length, and the logits (V,) at its end."""
        model, prompt = self._served.model, text.ticket.completion.prompt_ids
        if text.cache is None:
            text.cache = model.make_cache(1, self._capacity(text))
        start = int(text.cache.lengths[0])
        chunk = prompt[start : start + CHUNK]
        tokens = np.zeros((1, min(CHUNK, self._served.context_length - start)), np.int64)
        tokens[0, : len(chunk)] = chunk
        logits = model.next_logits(tokens, text.cache, np.array([len(chunk)]))
        found = np.asarray(logits)[0]
        return len(chunk), (found if start + len(chunk) == len(prompt) else None)

    def _capacity(self, text: RunningText) -> int:
        """Return how many tokens a text's cache is to hold, with the padding of its last chunk."""
        asked = text.ticket.completion
        n_most = len(asked.prompt_ids) + asked.sampling.max_tokens
        return min(self._served.context_length, -(-n_most // CHUNK) * CHUNK)

    def _begin(self, text: RunningText, logits: Scores) -> int:
        """Let a text begin whose prompt is read; return how many tokens it got."""
        text.begin(self._scores.pop(text, []))
        if text.ticket.ended:
            return 0
        self._guarded(text, text.choose, logits)
        self._writing.append(text)
        return 1

    def _write(self, texts: list[RunningText]) -> int:
        """Add a token to each of some texts, up to ``ROWS``; return how many were added."""
        texts = [text for text in texts if not text.ticket.ended]
        if not texts:
            return 0
        empty: list[Any] = [None] * (ROWS - len(texts))
        tokens = np.zeros((ROWS, 1), np.int64)
        tokens[: len(texts), 0] = [text.ids[-1] for text in texts]
        rows = self._rows([*(text.cache for text in texts), *empty])
        logits = np.asarray(self._served.model.next_logits(tokens, rows, known=True))  # (ROWS, V)
        for text, scores in zip(texts, logits, strict=False):
            self._guarded(text, text.choose, scores)
        return len(texts)

    @staticmethod
    def _guarded(text: RunningText, function: Any, *arguments: Any) -> Any:
        """Call a function for one text; what goes wrong ends that text alone."""
        try:
            return function(*arguments)
        except Exception as error:
            text.ticket.end(error)
            return None
