"""Beginning a step before the one before it is read: faster where the backend is lazy, never seen.

``is_lazy`` alone decides, so each test runs the same model with it and without.
"""

from __future__ import annotations

import zlib
from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import FAMILIES, Array, small_config

from llm_explainer.errors import GenerationError
from llm_explainer.generation import SamplingConfig
from llm_explainer.generation.decoding import Decoder

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


class Later:
    """An array that is still computed: it can be passed on, and reading it is noted."""

    def __init__(self, values: Array, events: list[str]) -> None:
        self.values, self.events = values, events

    def __getitem__(self, key: Any) -> Later:
        return Later(self.values[key], self.events)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        self.events.append("read")
        return self.values


class TokenCache:
    """A cache that holds the tokens themselves, and no more than its capacity."""

    def __init__(self, batch_size: int, capacity: int) -> None:
        self.rows: list[list[int]] = [[] for _ in range(batch_size)]
        self.capacity = capacity

    @property
    def lengths(self) -> Array:
        return np.array([len(row) for row in self.rows])

    def trim(self, lengths: Array) -> None:
        self.rows = [
            (row + [0] * length)[:length] for row, length in zip(self.rows, lengths, strict=True)
        ]

    def keep(self, rows: Array) -> None:
        self.rows = [self.rows[row] for row in rows]


class Historian:
    """A model whose next token follows from all tokens before it, with nothing to round.

    ``events`` notes when it was asked to begin a step, and when a result was read.
    """

    def __init__(
        self, *, is_lazy: bool, context_length: int = 12, last_score: float | None = None
    ) -> None:
        self.config = small_config(context_length=context_length)
        self.is_lazy, self.last_score = is_lazy, last_score
        self.events: list[str] = []

    def make_cache(self, batch_size: int = 1, capacity: int | None = None) -> TokenCache:
        assert capacity is not None
        return TokenCache(batch_size, capacity)

    def next_logits(self, tokens: Any, cache: Any = None, lengths: Any = None) -> Array:
        raise AssertionError("the likeliest token needs no logits")

    def next_ids(
        self,
        tokens: Any,
        cache: TokenCache | None = None,
        lengths: Array | None = None,
        vocab_size: int | None = None,
        *,
        known: bool = False,
    ) -> tuple[Any, Any]:
        self.events.append("begin")
        tokens = tokens.values if isinstance(tokens, Later) else tokens  # (B, T)
        ends = np.full(len(tokens), tokens.shape[1]) if lengths is None else lengths
        windows = [row[:end].tolist() for row, end in zip(tokens, ends, strict=True)]
        if cache is not None:
            cache.rows = [old + new for old, new in zip(cache.rows, windows, strict=True)]
            assert cache.lengths.max() <= cache.capacity <= self.config.context_length
            windows = cache.rows
        ids = np.array([zlib.crc32(bytes(window)) % vocab_size for window in windows])  # (B,)
        scores = np.ones(len(ids))
        if self.last_score is not None and len(windows[0]) == self.config.context_length:
            scores[0] = self.last_score
        if not self.is_lazy:
            return ids, scores
        return Later(ids, self.events), scores


def continued(
    model: Any,
    prompts: list[list[int]],
    *,
    use_cache: bool = True,
    ends: Collection[int] = (),
    stop: int | None = None,
    **options: Any,
) -> list[tuple[list[int], str, bool]]:
    """Return each text's new ids, why it ended, and whether it moved. ``stop`` is a caller's."""
    sampling = SamplingConfig(temperature=0.0, **options)
    decoder = Decoder(model, prompts, sampling, ends=ends, use_cache=use_cache)
    texts: list[list[int]] = [[] for _ in prompts]
    while step := decoder.step():
        for row, token in step:
            texts[row].append(token)
            if token == stop:
                decoder.end(row, "stop")
    return [(ids, decoder.ended_by(i), decoder.has_moved(i)) for i, ids in enumerate(texts)]


ids = st.integers(0, 6)
PROMPTS = st.lists(st.lists(ids, min_size=1, max_size=9), min_size=1, max_size=9)


@settings(max_examples=300)
@given(
    prompts=PROMPTS,
    max_tokens=st.integers(0, 30),
    context_length=st.integers(9, 16),
    ends=st.lists(ids, max_size=2),
    stop=st.none() | ids,
    windowed=st.booleans(),
)
def test_the_texts_are_those_of_a_model_that_waits(
    prompts: list[list[int]], context_length: int, **options: Any
) -> None:
    ahead, waiting = (
        Historian(is_lazy=is_lazy, context_length=context_length) for is_lazy in (True, False)
    )
    expected = continued(waiting, prompts, use_cache=False, **options)
    assert continued(waiting, prompts, **options) == expected
    assert continued(ahead, prompts, **options) == expected
    assert [continued(ahead, [prompt], **options)[0] for prompt in prompts] == expected


def events_by_step(model: Historian, prompts: list[list[int]], max_tokens: int) -> list[list[str]]:
    """Return what happened in each step of decoding."""
    decoder = Decoder(model, prompts, SamplingConfig(temperature=0.0, max_tokens=max_tokens))
    happened = []
    while decoder.step():
        happened.append(model.events.copy())
        model.events.clear()
    return happened


FIRST, MIDDLE, LAST = ["begin", "begin", "read"], ["begin", "read"], ["read"]
"""What a step does where another one follows ahead: begin that one, then read its own."""


def test_a_step_begins_before_the_one_before_it_is_read() -> None:
    model = Historian(is_lazy=True)
    assert events_by_step(model, [[1]], max_tokens=4) == [FIRST, MIDDLE, MIDDLE, LAST]


def test_a_full_context_makes_the_others_wait_for_a_single_step() -> None:
    model = Historian(is_lazy=True, context_length=10)
    prompts = [[0] * 9, [0], [0], [0], [0]]  # few enough have ended to be fed along
    expected = [FIRST, LAST, FIRST, MIDDLE, LAST]
    assert events_by_step(model, prompts, max_tokens=5) == expected


def test_a_model_that_waits_has_nothing_begun_ahead() -> None:
    assert events_by_step(Historian(is_lazy=False), [[1]], max_tokens=3) == [["begin"]] * 3


@pytest.mark.parametrize(
    ("context_length", "options", "n_begun"),
    [
        (12, {"max_tokens": 5}, 5),
        (12, {"max_tokens": 1}, 1),
        (12, {"max_tokens": 0}, 0),
        (6, {"max_tokens": 50}, 6),  # as many as see a window of 1 to 6 tokens
        (6, {"max_tokens": 9, "windowed": True}, 9),
        (12, {"max_tokens": 5, "use_cache": False}, 5),
    ],
)
def test_an_end_that_was_foreseen_costs_no_step(
    context_length: int, options: dict[str, Any], n_begun: int
) -> None:
    model = Historian(is_lazy=True, context_length=context_length)
    continued(model, [[1]], **options)
    assert model.events.count("begin") == n_begun


@pytest.mark.parametrize("end", ["stop", "ends"])
def test_an_end_that_nobody_foresaw_costs_a_lazy_model_a_step(end: str) -> None:
    [([_, second], *_)] = continued(Historian(is_lazy=False), [[1]], max_tokens=2)
    for is_lazy, n_begun in ((False, 2), (True, 3)):
        model = Historian(is_lazy=is_lazy)
        continued(model, [[1]], max_tokens=9, **{end: second if end == "stop" else [second]})
        assert model.events.count("begin") == n_begun


def test_without_a_cache_a_step_begins_when_its_tokens_are_known() -> None:
    model = Historian(is_lazy=True)
    continued(model, [[1], [2, 3]], use_cache=False, max_tokens=5)
    assert model.events == ["begin", "read"] * 5


@pytest.mark.parametrize("score", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("is_lazy", [False, True])
def test_a_bad_score_is_an_error_at_its_own_token(is_lazy: bool, score: float) -> None:
    model = Historian(is_lazy=is_lazy, context_length=4, last_score=score)
    decoder = Decoder(model, [[1]], SamplingConfig(temperature=0.0))
    assert [len(decoder.step()) for _ in range(3)] == [1, 1, 1]
    with pytest.raises(GenerationError, match=f"highest score is {score}; .* diverged"):
        decoder.step()


def test_sampling_waits_for_the_logits() -> None:
    for options in ({"temperature": 0.5}, {"temperature": 0.0, "repetition_penalty": 1.1}):
        decoder = Decoder(Historian(is_lazy=True), [[1]], SamplingConfig(**options))
        with pytest.raises(AssertionError, match="needs no logits"):
            decoder.step()


# The models themselves
