"""The decoding loop: a batch of texts that grow by one token a step, over a key-value cache.

Letters: B texts in the batch, T tokens of the longest, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_explainer.config import ModelConfig
from llm_explainer.generation.sampler import Sampler
from llm_explainer.generation.sampling import Sampling

Ids = NDArray[np.int64]
EndedBy = Literal["end of text", "stop", "max_tokens", "context", ""]
"""Why a text ended; empty while it goes on."""


class LanguageModel(Protocol):
    """What generation needs of a model, whichever backend it runs on."""

    config: ModelConfig

    def next_logits(self, tokens: Ids, cache: Any = None, lengths: Ids | None = None) -> Any:
        """Return the logits (B, V) after each row of tokens (B, T), padded on the right."""

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> Any:
        """Return an empty key-value cache."""


@dataclass
class _Text:
    row: int  # its place in the list of prompts
    window: list[int]  # the tokens that the model sees; the last one is not in the cache yet
    sampler: Sampler
    n_new: int = 0
    ended_by: EndedBy = ""
    has_moved: bool = False


class Decoder:
    """Continues a batch of token lists, one token each a step.

    A text that has ended does not change the others, and soon leaves the batch.

    Args:
        model: gives the logits.
        prompts: B lists of ids, none empty and none longer than the context.
        sampling: the settings (``stop`` is for whoever knows the text).
        vocab_size: ids from here on are never chosen: a model's table may be larger than its
            tokenizer's.
        end_of_text: the id that ends a text.
        use_cache: False computes everything anew for every token: slow, and the same text.
        first_index: the index of the first prompt among the texts of the seed.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        sampling: Sampling,
        *,
        vocab_size: int | None = None,
        end_of_text: int | None = None,
        use_cache: bool = True,
        first_index: int = 0,
    ) -> None:
        self._model = model
        self._sampling = sampling
        self._vocab_size = vocab_size or model.config.vocab_size
        self._end_of_text = end_of_text
        self._use_cache = use_cache
        self._texts = [
            _Text(row, list(ids), Sampler(sampling, first_index + row, ids, end_of_text))
            for row, ids in enumerate(prompts)
        ]
        self._batch = self._texts  # those that the cache has a row for
        self._cache: Any = None

    def step(self) -> list[tuple[int, int]]:
        """Add a token to every text that goes on; return (row, id) for each, [] when all ended."""
        for text in self._batch:
            self._make_room(text)
        if all(text.ended_by for text in self._batch):
            return []
        logits = np.asarray(self._next_logits())[:, : self._vocab_size]  # (B, V)
        chosen = []
        for text, scores in zip(self._batch, logits, strict=True):
            if text.ended_by:
                continue
            token = text.sampler.choose(scores)
            if token == self._end_of_text:
                text.ended_by = "end of text"
                continue
            text.window.append(token)
            text.n_new += 1
            chosen.append((text.row, token))
        return chosen

    def end(self, row: int, reason: EndedBy) -> None:
        """Let a text end here."""
        self._texts[row].ended_by = reason

    def ended_by(self, row: int) -> EndedBy:
        """Return why a text ended, or "" while it goes on."""
        return self._texts[row].ended_by

    def has_moved(self, row: int) -> bool:
        """Return whether a text outgrew the context, so that its start was forgotten."""
        return self._texts[row].has_moved

    def _make_room(self, text: _Text) -> None:
        """End a text that is long enough; shorten the window of one that outgrew the context."""
        if text.ended_by:
            return
        limit = self._model.config.context_length
        if text.n_new >= self._sampling.max_tokens:
            text.ended_by = "max_tokens"
        elif len(text.window) > limit and not self._sampling.windowed:
            text.ended_by = "context"
        elif len(text.window) > limit:
            # Half, and not one token less: positions count from the window's start, so a window
            # that moves has to be computed anew. This way that happens every limit / 2 tokens.
            text.window = text.window[-max(1, limit // 2) :]
            text.has_moved = True
            self._cache = None

    def _next_logits(self) -> Any:
        """Return the logits (B, V) after the last token of each text in the batch."""
        if self._cache is None:
            self._batch = [text for text in self._batch if not text.ended_by]
            return self._read_all()
        self._let_ended_leave()
        last_tokens = np.array([text.window[-1:] for text in self._batch])  # (B, 1)
        return self._model.next_logits(last_tokens, self._cache)

    def _let_ended_leave(self) -> None:
        """Take ended texts out of the batch, a quarter of it or more at a time.

        That copies the cache, so the few in between are fed along. Cut to the length of a text that
        goes on, they neither outgrow the cache nor force a mask upon a batch of equal lengths.
        """
        going = [place for place, text in enumerate(self._batch) if not text.ended_by]
        n_texts = len(self._batch)
        if 4 * len(going) <= 3 * n_texts:
            self._batch = [self._batch[place] for place in going]
            self._cache.keep(np.array(going))
        elif len(going) < n_texts:
            lengths = np.full(n_texts, self._cache.lengths[going[0]])  # (B,)
            lengths[going] = self._cache.lengths[going]
            self._cache.trim(lengths)

    def _read_all(self) -> Any:
        """Compute the batch's windows from their start, into a new cache."""
        windows = [text.window for text in self._batch]
        lengths = np.array([len(window) for window in windows])  # (B,)
        tokens = np.zeros((len(windows), lengths.max()), np.int64)  # (B, T), padded on the right
        for row, window in zip(tokens, windows, strict=True):
            row[: len(window)] = window
        if self._use_cache:
            to_come = self._sampling.max_tokens - min(text.n_new for text in self._batch)
            capacity = min(self._model.config.context_length, int(lengths.max()) + to_come)
            self._cache = self._model.make_cache(len(windows), capacity)
        return self._model.next_logits(tokens, self._cache, lengths)
