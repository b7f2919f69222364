"""The learning rate of each step."""

import itertools
import math

import pytest

from llm_explainer.training.config import TrainConfig
from llm_explainer.training.schedule import learning_rate


def config(schedule: str) -> TrainConfig:
    return TrainConfig(
        steps=100,
        warmup_steps=10,
        learning_rate=1.0,
        min_learning_rate=0.1,
        schedule=schedule,
    )


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant", "inverse_sqrt"])
def test_warm_up_is_a_straight_line_that_ends_at_the_peak(schedule):
    rates = [learning_rate(config(schedule), step) for step in range(11)]
    assert rates[0] == pytest.approx(1 / 11)
    steps_up = [b - a for a, b in itertools.pairwise(rates)]
    assert steps_up == pytest.approx([1 / 11] * 10)
    assert rates[10] == 1.0


def test_cosine_passes_half_way_and_ends_at_the_minimum():
    cosine = config("cosine")
    assert learning_rate(cosine, 55) == pytest.approx(0.55)
    assert learning_rate(cosine, 100) == pytest.approx(0.1)
    # A quarter of the way down a half cosine: (1 + cos(pi/4)) / 2 of the height is left.
    quarter = 0.1 + 0.9 * (1 + math.cos(math.pi * 18 / 90)) / 2
    assert learning_rate(cosine, 28) == pytest.approx(quarter)


def test_linear_falls_by_the_same_amount_each_step():
    linear = config("linear")
    assert learning_rate(linear, 55) == pytest.approx(0.55)
    assert learning_rate(linear, 100) == pytest.approx(0.1)


def test_constant_stays():
    assert {learning_rate(config("constant"), step) for step in (10, 50, 99)} == {1.0}


def test_inverse_sqrt_halves_when_the_steps_quadruple():
    inverse = config("inverse_sqrt")
    assert learning_rate(inverse, 10) == pytest.approx(1.0)
    assert learning_rate(inverse, 40) == pytest.approx(0.5)


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert learning_rate(TrainConfig(warmup_steps=0, learning_rate=0.5), 0) == 0.5
