"""Pages about small models and texts of all kinds, for tests of the explorer."""

from __future__ import annotations

from functools import cache
from typing import Any

from small_models import LLAMA, random_model, small_config

from llm_explainer import BPETokenizer
from llm_explainer.explorer.content import Content
from llm_explainer.explorer.gathering import gather
from llm_explainer.tracing import Trace, trace

HOSTILE = "<b>&amp;</script><!--\x07\u202eabc\u202c שלום 🦊 the the fox\n</style><img src=x>"
"""Markup, an end of scripts, a control character, writing from right to left, an emoji."""

SIZES: dict[str, Any] = {
    "vocab_size": 300, "context_length": 96, "d_model": 24, "n_layers": 2, "n_heads": 4, "d_ff": 20,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {"llama": LLAMA, "gpt2": {}}


@cache
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(["the fox and the owl. " * 20], 262)


def content_of(text: str = HOSTILE, **changes: Any) -> tuple[Any, Trace, Content]:
    """Return a model with random weights, the trace of a text, and what a page has of it."""
    model = random_model(small_config(**{**SIZES, **changes}), "float32")
    found = trace(model, tokenizer(), text)
    return model, found, gather(found, tokenizer(), text, "<i>small</i>")
