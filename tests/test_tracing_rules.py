"""The table of rules is the backward pass: each gradient comes out of its own terms."""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from small_models import SWITCHES
from small_traces import traced

from llm_explainer.tracing import EXPLANATIONS, Target, terms_of, way_back


@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_every_gradient_is_the_sum_of_its_terms(changes: dict[str, Any]) -> None:
    _, found = traced({**changes, "n_layers": 2})
    for name, gradient in found.gradients.items():
        terms = terms_of(name, found.config)
        total = sum(way_back(found, name, term) for term in terms)
        np.testing.assert_allclose(total, gradient, rtol=1e-9, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("target", [Target.logit(2, 3), Target.log_probability(-1, 1)])
def test_the_way_back_begins_at_the_target(target: Target) -> None:
    _, found = traced(target=target)
    (term,) = terms_of("logits", found.config)
    assert term.rule == "target"
    dlogits = np.zeros_like(found.logits)
    dlogits[found.target.position, target.token] = 1
    if target.kind == "log_probability":
        dlogits[found.target.position] -= found.probabilities[found.target.position]
    np.testing.assert_allclose(found.gradients["logits"], dlogits, rtol=1e-12)


@pytest.mark.parametrize("rule", EXPLANATIONS)
def test_the_line_that_is_named_stands_in_plain(rule: Any) -> None:
    explanation = EXPLANATIONS[rule]
    module, _, function = explanation.function.rpartition(".")
    source = inspect.getsource(getattr(import_module(f"llm_explainer.{module}"), function))
    lines = [line.strip() for line in source.splitlines()]
    assert sum(line.startswith(explanation.code) for line in lines) == 1
