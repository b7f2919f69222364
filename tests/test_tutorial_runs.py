"""The scripts that measure for the Tutorial: what they compare is the same step."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from llm_explainer import plain
from llm_explainer.tutorial import IDS, TARGETS, hand_model
from llm_explainer.tutorial.faults import FAULTS, Fault, plain_with

SCRIPT = Path(__file__).parents[1] / "Tutorial" / "runs" / "ladder.py"


@pytest.fixture(scope="module")
def ladder():
    spec = importlib.util.spec_from_file_location("ladder", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("left", "right"), [((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 1, 3, 4), (2, 6, 4, 5))]
)
@pytest.mark.parametrize("name", ["by_loops", "by_rows"])
def test_slow_products_are_products(ladder, name, left, right):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=left), rng.normal(size=right)
    np.testing.assert_allclose(getattr(ladder, name)(a, b), a @ b, rtol=1e-12)


def test_plain_with_a_product_of_ones_own_uses_no_other(ladder):
    used = []

    def product(a, b):
        used.append((a.shape, b.shape))
        return a @ b

    parameters, config = hand_model()
    ids, targets, state = np.array([IDS]), np.array([TARGETS]), plain.start_adamw(parameters)
    loss, new, _ = ladder.plain_with(product).train_step(
        ids, targets, parameters, state, config, 0.03
    )
    right, expected, _ = plain.train_step(ids, targets, parameters, state, config, 0.03)
    assert loss == right
    np.testing.assert_array_equal(new["final_norm"]["weight"], expected["final_norm"]["weight"])
    assert len(used) == 7 + 2 * 7  # of the forward pass, and two of each in the backward pass


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_changes_the_copy_and_not_plain(name):
    parameters, config = hand_model()
    ids, targets = np.array([IDS]), np.array([TARGETS])

    def all_of(training):
        logits, backward = training.gpt(ids, parameters, config)
        table = backward(plain.cross_entropy(logits, targets)[1]())["token_embedding"]["weight"]
        return logits, table

    before = all_of(plain)
    broken = all_of(plain_with(FAULTS[name]))
    for array, unchanged in zip(all_of(plain), before, strict=True):
        np.testing.assert_array_equal(array, unchanged)
    assert not np.allclose(broken[1], before[1])
    of_forward = name in ("leaky mask", "no root")
    assert np.allclose(broken[0], before[0]) != of_forward


def test_a_fault_that_fits_no_line_or_two_is_refused():
    for right in ("no such line", "def backward"):
        with pytest.raises(ValueError, match=r"plain/attention.py does not hold .* exactly once"):
            plain_with(Fault("attention", right, ""))
