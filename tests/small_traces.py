"""Traces of small models with random weights, for tests of what is read off them."""

from __future__ import annotations

from typing import Any

from small_models import random_model, random_tokens, small_config

from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.tracing import Trace, trace

TOKENIZER = CharTokenizer(dict(enumerate("abcdef ")), {})
"""Of as many characters as the small models know."""


def traced(changes: dict[str, Any] | None = None, **how: Any) -> tuple[Any, Trace]:
    """Return a model in float64 and a trace of six random ids."""
    model = random_model(small_config(**(changes or {})))
    ids = random_tokens(model.config, 1, 6)[0]
    return model, trace(model, TOKENIZER, ids, dtype="float64", **how)
