"""A key-value cache changes how long generation takes, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import FAMILIES, SWITCHES, Array, random_model, random_tokens, small_config

from llm_explainer.errors import ConfigError
from llm_explainer.numpy_backend import GPT

each_switch = pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def assert_close(actual: Array, expected: Array) -> None:
    """To what float32 can tell apart: a cache holds float32."""
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


@each_switch
def test_cached_logits_equal_uncached_ones(changes: dict[str, Any]) -> None:
    model = random_model(small_config(**changes), np.float32)
    tokens = random_tokens(model.config, 3, 6)
    expected = model(tokens)
    for pieces in ([1] * 6, [6], [3, 3], [2, 1, 3], [5, 1]):
        cache = model.make_cache(3)
        starts = np.cumsum([0, *pieces[:-1]])
        logits = [
            model(tokens[:, start : start + n], cache)
            for start, n in zip(starts, pieces, strict=True)
        ]
        assert_close(np.concatenate(logits, axis=1), expected)
        assert cache.lengths.tolist() == [6, 6, 6]


@each_family
def test_a_small_cache_serves_short_texts(family: dict[str, Any]) -> None:
    model = random_model(small_config(**family), np.float32)
    tokens = random_tokens(model.config, 1, 4)
    assert_close(model(tokens, model.make_cache(capacity=4)), model(tokens))


@each_family
def test_trimming_forgets_the_end(family: dict[str, Any]) -> None:
    model = random_model(small_config(**family), np.float32)
    tokens, others = random_tokens(model.config, 2, 6), random_tokens(model.config, 2, 6, seed=1)
    cache = model.make_cache(2)
    model(np.concatenate([tokens[:, :2], others[:, :4]], axis=1), cache)
    cache.trim(np.array([2, 2]))
    assert_close(model(tokens[:, 2:], cache), model(tokens)[:, 2:])


@each_family
@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    n_more=st.integers(0, 3),
    seed=st.integers(0, 99),
)
def test_ragged_batches(family: dict[str, Any], lengths: list[int], n_more: int, seed: int) -> None:
    """Rows of different lengths, padded on the right and then continued, each as if alone."""
    model = random_model(small_config(context_length=8, n_layers=2, **family), np.float32)
    texts = random_tokens(model.config, len(lengths), 8, seed)  # (B, T); padding is what follows
    cache = model.make_cache(len(lengths))
    ends = np.array(lengths)
    logits = model.next_logits(texts[:, : max(lengths)], cache, ends)
    assert cache.lengths.tolist() == lengths
    for step in range(n_more + 1):
        for row, end in enumerate(ends):
            assert_close(logits[row], model(texts[row : row + 1, :end])[0, -1])
        if step < n_more:
            logits = model.next_logits(texts[np.arange(len(ends)), ends][:, None], cache)
            ends = ends + 1
            assert cache.lengths.tolist() == ends.tolist()


@each_family
def test_ragged_pieces(family: dict[str, Any]) -> None:
    """A second padded piece behind rows of different lengths."""
    model = random_model(small_config(context_length=12, **family), np.float32)
    texts = random_tokens(model.config, 3, 12)
    first, second = np.array([1, 4, 2]), np.array([3, 1, 2])
    cache = model.make_cache(3)
    model.next_logits(texts[:, :4], cache, first)
    piece = np.stack([texts[i, start : start + 3] for i, start in enumerate(first)])
    logits = model.next_logits(piece, cache, second)
    for row, end in enumerate(first + second):
        assert_close(logits[row], model(texts[row : row + 1, :end])[0, -1])


@each_family
def test_next_logits_without_a_cache(family: dict[str, Any]) -> None:
    model = random_model(small_config(**family))
    tokens = random_tokens(model.config, 2, 6)
    np.testing.assert_allclose(model.next_logits(tokens), model(tokens)[:, -1], rtol=1e-12)
    ragged = model.next_logits(tokens, lengths=np.array([2, 5]))
    np.testing.assert_allclose(ragged, model(tokens)[[0, 1], [1, 4]], rtol=1e-12)


@each_family
@settings(max_examples=30)
@given(data=st.data(), lengths=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_rows_that_are_kept_go_on_as_before(
    family: dict[str, Any], data: st.DataObject, lengths: list[int]
) -> None:
    model = random_model(small_config(context_length=8, n_layers=2, **family), np.float32)
    texts = random_tokens(model.config, len(lengths), 8)
    rows = np.array(
        data.draw(st.lists(st.sampled_from(range(len(lengths))), min_size=1, unique=True))
    )
    cache, ends = model.make_cache(len(lengths)), np.array(lengths)
    model.next_logits(texts[:, : max(lengths)], cache, ends)
    cache.keep(rows)
    assert cache.lengths.tolist() == ends[rows].tolist()
    for n_more in range(3):
        next_tokens = texts[rows, ends[rows] + n_more][:, None]  # (B, 1)
        logits = model.next_logits(next_tokens, cache)
        for place, row in enumerate(rows):
            assert_close(
                logits[place], model(texts[row : row + 1, : ends[row] + n_more + 1])[0, -1]
            )


def test_two_caches_do_not_meet() -> None:
    model = random_model(small_config(), np.float32)
    first, second = random_tokens(model.config, 1, 4), random_tokens(model.config, 1, 4, seed=1)
    caches = [model.make_cache(), model.make_cache()]
    for t in range(4):
        logits = model(first[:, t : t + 1], caches[0])
        model(second[:, t : t + 1], caches[1])
    assert_close(logits[:, 0], model(first)[:, -1])


def test_a_cache_that_overflows() -> None:
    model = GPT(small_config())
    cache = model.make_cache()
    model(random_tokens(model.config, 1, 4), cache)
    with pytest.raises(ConfigError, match="7 tokens do not fit the context of 6"):
        model(random_tokens(model.config, 1, 3), cache)
    assert cache.lengths.tolist() == [4]  # a refusal leaves the cache as it was
    model(random_tokens(model.config, 1, 2), cache)
    small = model.make_cache(capacity=3)
    with pytest.raises(ConfigError, match="4 tokens do not fit the context of 3"):
        model(random_tokens(model.config, 1, 4), small)


def test_the_longest_row_decides_what_fits() -> None:
    model = GPT(small_config())
    cache = model.make_cache(2)
    model(random_tokens(model.config, 2, 6), cache)
    cache.trim(np.array([1, 5]))
    with pytest.raises(ConfigError, match="7 tokens do not fit the context of 6"):
        model(random_tokens(model.config, 2, 2), cache)


@each_family
def test_a_cache_larger_than_the_context(family: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="capacity 7 exceeds the context of 6"):
        GPT(small_config(**family)).make_cache(capacity=7)
