"""Pages about small models and texts of all kinds, for tests of the explorer."""

from __future__ import annotations

import base64
import string
from functools import cache
from typing import Any

from small_models import LLAMA, random_model, small_config

from llm_explainer import BPETokenizer
from llm_explainer.explorer.base85 import ALPHABET
from llm_explainer.explorer.content import Content
from llm_explainer.explorer.gathering import gather
from llm_explainer.tracing import Trace, trace

HOSTILE = "<b>&amp;</script><!--\x07\u202eabc\u202c שלום 🦊 the the fox\n</style><img src=x>"
"""Markup, an end of scripts, a control character, writing from right to left, an emoji."""

PYTHON_S = string.digits + string.ascii_uppercase + string.ascii_lowercase
TO_PYTHON = str.maketrans(ALPHABET, PYTHON_S + "!#$%&()*+-;<=>?@^_`{|}~")

SIZES: dict[str, Any] = {
    "vocab_size": 300, "context_length": 96, "d_model": 24, "n_layers": 2, "n_heads": 4, "d_ff": 20,
}  # fmt: skip
FAMILIES: dict[str, dict[str, Any]] = {"llama": LLAMA, "gpt2": {}}


def from_base85(text: str) -> bytes:
    """Return the bytes of a page's text, by Python's own decoder of the same digits."""
    return base64.b85decode(text.translate(TO_PYTHON))


@cache
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train(["the fox and the owl. " * 20], 262)


def content_of(text: str = HOSTILE, **changes: Any) -> tuple[Any, Trace, Content]:
    """Return a model with random weights, the trace of a text, and what a page has of it."""
    model = random_model(small_config(**{**SIZES, **changes}), "float32")
    found = trace(model, tokenizer(), text)
    return model, found, gather(found, tokenizer(), text, "<i>small</i>")
