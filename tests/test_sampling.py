"""Filters on exact numbers, sampling by frequencies, settings that are refused."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_explainer.errors import GenerationError
from llm_explainer.generation import SamplingConfig
from llm_explainer.generation.filters import (
    keep_min_p,
    keep_top_k,
    keep_top_p,
    penalize_repetition,
    softmax,
)
from llm_explainer.generation.sampler import Sampler, distribution

P = np.array([0.1, 0.4, 0.05, 0.3, 0.15])
PLAIN = {"temperature": 1.0, "top_p": None}

probabilities = st.lists(st.integers(1, 1000), min_size=1, max_size=60).map(
    lambda counts: np.array(counts) / sum(counts)
)


def frequencies(logits, n=20_000, **settings):
    sampler = Sampler(SamplingConfig(**settings))
    counts = np.bincount([sampler.choose(logits) for _ in range(n)], minlength=len(logits))
    return counts / n


def assert_drawn_from(expected, logits, n=20_000, **settings):
    """Five standard deviations: a right sampler fails once in a million draws of the seed."""
    bounds = 5 * np.sqrt(expected * (1 - expected) / n)
    assert (np.abs(frequencies(logits, n, **settings) - expected) <= bounds).all()


@pytest.mark.parametrize(
    ("k", "kept"), [(1, [1]), (2, [1, 3]), (4, [0, 1, 3, 4]), (5, [0, 1, 2, 3, 4]), (9, range(5))]
)
def test_top_k_keeps_the_likeliest(k, kept):
    assert keep_top_k(np.log(P), k).tolist() == list(kept)


def test_top_k_breaks_ties_by_the_lower_id():
    assert keep_top_k(np.array([1.0, 2.0, 1.0, 1.0, 3.0]), 3).tolist() == [0, 1, 4]


@pytest.mark.parametrize(
    ("p", "kept"),
    [
        (1e-9, [1]),
        (0.4, [1]),
        (0.41, [1, 3]),
        (0.7, [1, 3]),
        (0.71, [1, 3, 4]),
        (0.95, [0, 1, 3, 4]),
        (0.96, [0, 1, 2, 3, 4]),
        (1.0, [0, 1, 2, 3, 4]),
    ],
)
def test_top_p_keeps_the_smallest_nucleus(p, kept):
    assert keep_top_p(P, p).tolist() == kept


def test_top_p_forgives_the_rounding_of_a_sum():
    assert 0.7 + 0.1 < 0.8
    assert keep_top_p(np.array([0.1, 0.7, 0.1, 0.1]), 0.8).tolist() == [0, 1]


def test_top_p_breaks_ties_by_the_lower_id():
    assert keep_top_p(np.full(10, 0.1), 0.5).tolist() == [0, 1, 2, 3, 4]


@given(probabilities, st.floats(0.001, 0.999))
def test_top_p_is_what_sorting_everything_gives(probs, p):
    order = sorted(range(len(probs)), key=lambda token: (-probs[token], token))
    nucleus, mass = [], 0.0
    for token in order:
        if mass >= p * (1 - 1e-12):
            break
        nucleus.append(token)
        mass += probs[token]
    assert keep_top_p(probs, p).tolist() == sorted(nucleus)


@pytest.mark.parametrize(
    ("p", "kept"), [(0.0, range(5)), (0.25, [0, 1, 3, 4]), (0.5, [1, 3]), (1.0, [1])]
)
def test_min_p_compares_with_the_likeliest(p, kept):
    assert keep_min_p(P, p).tolist() == list(kept)


def test_repetition_penalty_lowers_positive_and_negative_logits():
    logits = np.array([3.0, -3.0, 0.0, 3.0])
    penalized = penalize_repetition(logits, [0, 1, 2], 1.5)
    np.testing.assert_array_equal(penalized, [2.0, -4.5, 0.0, 3.0])
    np.testing.assert_array_equal(penalize_repetition(logits, [], 1.5), logits)
    assert logits[0] == 3.0  # the caller's array is as it was


def test_softmax_survives_huge_scores():
    np.testing.assert_allclose(softmax(np.array([1e300, 1e300, -1e300])), [0.5, 0.5, 0.0])


def test_filters_follow_one_another_on_renormalised_probabilities():
    # After top-k = 3 the shares are 8/17, 6/17, 3/17: 0.8 takes two of them, where it would take
    # three of the five. After that, 6/8 is above a min-p of 0.7.
    settings = SamplingConfig(temperature=1, top_k=3, top_p=0.8, min_p=0.7)
    tokens, probs = distribution(np.log(P), settings)
    assert tokens.tolist() == [1, 3]
    np.testing.assert_allclose(probs, [4 / 7, 3 / 7])
    assert keep_top_p(P, 0.8).tolist() == [1, 3, 4]


@pytest.mark.parametrize("settings", [{"top_p": 0.8}, {"top_p": None, "min_p": 0.3}, {"top_k": 2}])
def test_what_is_left_adds_up_to_one(settings):
    tokens, probs = distribution(np.log(P), SamplingConfig(temperature=1, **settings))
    np.testing.assert_allclose(probs, P[tokens] / P[tokens].sum())
    assert len(tokens) < len(P)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_temperature_divides_the_logits(temperature):
    tokens, probs = distribution(np.log(P), SamplingConfig(temperature=temperature, top_p=None))
    expected = P ** (1 / temperature)
    assert tokens.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(probs, expected / expected.sum())


@pytest.mark.parametrize("temperature", [1e-8, 1e-300, 5e-324])
def test_a_tiny_temperature_is_greedy(temperature):
    assert Sampler(SamplingConfig(temperature=temperature)).choose(np.log(P)) == 1


def test_logits_of_log_p_are_drawn_with_probability_p():
    # Shifted, because probabilities passed for logits (or logits for probabilities) would differ.
    assert_drawn_from(P, np.log(P).astype(np.float32) + 7, **PLAIN)


def test_draws_at_a_temperature_follow_its_power():
    expected = P**2 / (P**2).sum()
    assert_drawn_from(expected, np.log(P), temperature=0.5, top_p=None)


def test_draws_within_a_nucleus_follow_its_shares():
    expected = np.array([0, 0.4, 0, 0.3, 0.15]) / 0.85
    assert_drawn_from(expected, np.log(P), temperature=1.0, top_p=0.8)


def test_a_large_vocabulary_is_drawn_from_evenly():
    counts = frequencies(np.zeros(50_000), n=500, **PLAIN) * 500
    assert counts.max() <= 3  # of 500 among 50,000, four in one place come once in 40,000 times
    halves = counts.reshape(2, -1).sum(1)
    assert abs(halves[0] - 250) <= 5 * math.sqrt(125)


def test_tokens_without_probability_are_never_drawn():
    logits = np.array([-np.inf, 0.0, -np.inf, 0.0, -np.inf])
    assert set(np.flatnonzero(frequencies(logits, n=2_000, **PLAIN))) == {1, 3}


def test_greedy_takes_the_likeliest_and_the_lower_of_equals():
    assert Sampler(SamplingConfig(temperature=0)).choose(np.array([1.0, 3.0, 3.0])) == 1


def test_repetition_penalty_counts_the_prompt_and_what_was_drawn():
    sampler = Sampler(SamplingConfig(temperature=0, repetition_penalty=2.0), prompt=[0])
    logits = np.array([4.0, 3.0, 2.5])
    assert [sampler.choose(logits) for _ in range(3)] == [1, 2, 0]


def test_repetition_penalty_spares_the_end_of_text():
    settings = SamplingConfig(temperature=0, repetition_penalty=2.0)
    sampler = Sampler(settings, prompt=[0], unpenalized=[0])
    assert sampler.choose(np.array([4.0, 3.0, 2.5])) == 0


def test_seed_and_index_fix_the_draws():
    def draw(seed, index):
        sampler = Sampler(SamplingConfig(seed=seed, **PLAIN), index)
        return [sampler.choose(np.zeros(1000)) for _ in range(8)]

    assert draw(3, 1) == draw(3, 1)
    others = [draw(3, 1), draw(3, 2), draw(4, 1), draw(4, 0), draw(0, 3)]
    assert len({tuple(tokens) for tokens in others}) == len(others)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    with pytest.raises(GenerationError, match="damaged or its training diverged"):
        Sampler(SamplingConfig()).choose(np.array([0.0, bad, 1.0]))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "hot"),
        ("top_k", 0),
        ("top_k", 1.5),
        ("top_k", True),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", math.nan),
        ("min_p", -0.1),
        ("min_p", 1.1),
        ("repetition_penalty", 0.0),
        ("repetition_penalty", -1.0),
        ("repetition_penalty", math.nan),
        ("max_tokens", -1),
        ("max_tokens", "many"),
        ("seed", -1),
        ("stop", "one text"),
        ("stop", ["fine", ""]),
        ("stop", [3]),
    ],
)
def test_settings_that_cannot_work_are_refused_in_one_line(field, value):
    with pytest.raises(GenerationError) as caught:
        SamplingConfig(**{field: value})
    message = str(caught.value)
    assert message.startswith(f"{field} is {value!r}; it takes ")
    assert "\n" not in message


def test_the_edges_of_every_setting_work():
    SamplingConfig(temperature=0, top_k=1, top_p=1, min_p=0, repetition_penalty=0.5, max_tokens=0)
    assert SamplingConfig(top_k=np.int64(3), stop=["\n"]).stop == ("\n",)
