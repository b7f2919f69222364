"""The decoding loop: a batch of texts that grow by one token a step, over a key-value cache.

Where the likeliest token is taken and the backend is lazy, a step begins before the one before it
is read: the model goes on from ids that are still being computed, so it never waits for Python.

Letters: B texts in the batch, T tokens of the longest, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from llm_explainer.config import ModelConfig
from llm_explainer.generation.healing import Healing
from llm_explainer.generation.sampler import Sampler, require_finite
from llm_explainer.generation.sampling_config import SamplingConfig

Ids = NDArray[np.int64]
EndedBy = Literal["end of text", "stop", "max_tokens", "context", ""]
"""Why a text ended; empty while it goes on."""


class LanguageModel(Protocol):
    """What generation needs of a model, whichever backend it runs on."""

    config: ModelConfig
    is_lazy: bool
    """Whether ``next_ids`` may return before its numbers are computed."""

    def next_logits(self, tokens: Ids, cache: Any = None, lengths: Ids | None = None) -> Any:
        """Return the logits (B, V) after each row of tokens (B, T), padded on the right."""

    def next_ids(
        self,
        tokens: Any,
        cache: Any = None,
        lengths: Ids | None = None,
        vocab_size: int | None = None,
        *,
        known: bool = False,
    ) -> tuple[Any, Any]:
        """Return each row's likeliest next id (B,), of those under ``vocab_size``, and its score.

        ``tokens`` may be ids that this method returned, which are then ``known``.
        """

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> Any:
        """Return an empty key-value cache."""


@dataclass
class _Text:
    row: int  # its place in the list of prompts
    window: list[int]  # the tokens that the model sees; the last one is not in the cache yet
    sampler: Sampler
    healing: Healing | None = None  # what of the prompt it has yet to write again
    n_new: int = 0  # without those
    ended_by: EndedBy = ""
    has_moved: bool = False


@dataclass
class _Step:
    """The likeliest next tokens of some texts, which a lazy backend may still be computing."""

    texts: list[_Text]
    ids: Any  # (B,)
    scores: Any  # (B,)


class Decoder:
    """Continues a batch of token lists, one token each a step.

    A text that has ended does not change the others, and soon leaves the batch.

    Args:
        model: gives the logits.
        prompts: B lists of ids, none empty and none longer than the context.
        sampling: the settings (``stop`` is for whoever knows the text).
        vocab_size: ids from here on are never chosen: a model's table may be larger than its
            tokenizer's.
        ends: the ids that end a text.
        use_cache: False computes everything anew for every token: slow, and the same text.
        first_index: the index of the first prompt among the texts of the seed.
        healings: for each prompt its end, if that is to be written again; None for none at all.
    """

    def __init__(
        self,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        sampling: SamplingConfig,
        *,
        vocab_size: int | None = None,
        ends: Collection[int] = (),
        use_cache: bool = True,
        first_index: int = 0,
        healings: Sequence[Healing | None] | None = None,
    ) -> None:
        self._model = model
        self._sampling = sampling
        self._vocab_size = vocab_size or model.config.vocab_size
        self._ends = frozenset(ends)
        self._use_cache = use_cache
        of_each = healings or [None] * len(prompts)
        self._texts = [
            _Text(row, list(ids), Sampler(sampling, first_index + row, ids, self._ends), healing)
            for row, (ids, healing) in enumerate(zip(prompts, of_each, strict=True))
        ]
        self._batch = self._texts  # those that the cache has a row for
        self._cache: Any = None
        self._begun: _Step | None = None  # the next step, where it was begun ahead

    def step(self) -> list[tuple[int, int]]:
        """Add a token to every text that goes on; return (row, id) for each, [] when all ended."""
        for text in self._batch:
            self._make_room(text)
        if all(text.ended_by for text in self._batch):
            return []
        is_healing = any(text.healing and not text.ended_by for text in self._batch)
        by_score = self._sampling.takes_likeliest and not is_healing
        choices = self._likeliest() if by_score else self._sampled()
        chosen = []
        for text, token in choices:
            if token in self._ends:
                text.ended_by = "end of text"
                continue
            text.window.append(token)
            text.n_new += not _is_of_prompt(text, token)
            chosen.append((text.row, token))
        return chosen

    def n_new(self, row: int) -> int:
        """Return how many tokens a text has beyond its prompt."""
        return self._texts[row].n_new

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

    def _sampled(self) -> Iterator[tuple[_Text, int]]:
        """Yield each text that goes on, with a token that its sampler chose."""
        logits = np.asarray(self._model.next_logits(*self._to_read()))  # (B, V)
        for text, scores in zip(self._batch, logits[:, : self._vocab_size], strict=True):
            if not text.ended_by:
                healing = text.healing
                yield text, text.sampler.choose(healing.masked(scores) if healing else scores)

    def _likeliest(self) -> Iterator[tuple[_Text, int]]:
        """Yield each text that goes on, with its likeliest token."""
        step = self._begun or self._begin()
        # Where a text turns out to end here, nobody reads its part of the step that begins.
        self._begun = self._begin(step.ids) if self._can_begin_ahead() else None
        ids, scores = np.asarray(step.ids).tolist(), np.asarray(step.scores).tolist()
        for text, token, score in zip(step.texts, ids, scores, strict=True):
            if not text.ended_by:
                require_finite(score)
                yield text, token

    def _begin(self, ids: Any = None) -> _Step:
        """Let the model look for the batch's likeliest next tokens; ``ids`` as for ``_to_read``."""
        next_ids = self._model.next_ids
        if self._cache is not None:  # then the model reads what it wrote, and nobody waits for it
            next_ids = partial(next_ids, known=True)
        inputs = self._to_read(ids)  # which may take texts out of the batch
        return _Step(self._batch, *next_ids(*inputs, self._vocab_size))

    def _can_begin_ahead(self) -> bool:
        """Return whether that is of use, and no text will be too long for the step after this."""
        limit, max_tokens = self._model.config.context_length, self._sampling.max_tokens
        return (
            self._model.is_lazy
            and self._use_cache
            and all(
                text.n_new + 1 < max_tokens and len(text.window) < limit
                for text in self._batch
                if not text.ended_by
            )
        )

    def _to_read(self, ids: Any = None) -> tuple[Any, Any, Ids | None]:
        """Return what the model reads next: tokens (B, T), the cache, and lengths (B,) or None.

        ``ids`` (B,) are the batch's last tokens, where the texts do not have them yet.
        """
        if self._cache is None:
            self._batch = [text for text in self._batch if not text.ended_by]
            return self._all_windows()
        if ids is None:
            ids = np.array([text.window[-1] for text in self._batch])  # (B,)
        return self._without_ended(ids)[:, None], self._cache, None

    def _without_ended(self, ids: Any) -> Any:
        """Take ended texts out of the batch, a quarter or more at a time; return the others' ids.

        That copies the cache, so the few in between are fed along. Cut to the length of a text that
        goes on, they neither outgrow the cache nor force a mask upon a batch of equal lengths.
        """
        going = [place for place, text in enumerate(self._batch) if not text.ended_by]
        n_texts = len(self._batch)
        if 4 * len(going) <= 3 * n_texts:
            self._batch = [self._batch[place] for place in going]
            self._cache.keep(np.array(going))
            return ids[going]
        if len(going) < n_texts:
            lengths = np.full(n_texts, self._cache.lengths[going[0]])  # (B,)
            lengths[going] = self._cache.lengths[going]
            self._cache.trim(lengths)
        return ids

    def _all_windows(self) -> tuple[Any, Any, Ids]:
        """Return the batch's windows from their start, as above, with a new cache."""
        windows = [text.window for text in self._batch]
        lengths = np.array([len(window) for window in windows])  # (B,)
        tokens = np.zeros((len(windows), lengths.max()), np.int64)  # (B, T), padded on the right
        for row, window in zip(tokens, windows, strict=True):
            row[: len(window)] = window
        if self._use_cache:
            to_come = self._sampling.max_tokens - min(text.n_new for text in self._batch)
            to_come += max(text.healing.n_bytes if text.healing else 0 for text in self._batch)
            capacity = min(self._model.config.context_length, int(lengths.max()) + to_come)
            self._cache = self._model.make_cache(len(windows), capacity)
        return tokens, self._cache, lengths


def _is_of_prompt(text: _Text, token: int) -> bool:
    """Whether a token only writes again what the prompt ends in."""
    if text.healing is None:
        return False
    is_own = text.healing.take(token)
    if text.healing.is_done:
        text.healing = None
    return is_own
