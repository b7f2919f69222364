"""Generation: a trained model continues a text, one token after the other.

From the bottom up: ``sampling_config`` (the settings), ``filters`` (which tokens may come next),
``sampler`` (which one does), ``decoding`` (the loop over the key-value cache), ``prompts`` and
``transcript`` (from text to ids and back), ``streaming`` (what others call), ``session`` (a person
and a model write in turns), ``chat`` (they talk, as a chat template has it).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_explainer.generation.sampling_config import SamplingConfig, SamplingOptions
    from llm_explainer.generation.streaming import (
        Completion,
        Generation,
        complete_batch,
        generate,
        generate_batch,
        generate_ids,
    )

__all__ = [
    "Completion",
    "Generation",
    "SamplingConfig",
    "SamplingOptions",
    "complete_batch",
    "generate",
    "generate_batch",
    "generate_ids",
]


def __getattr__(name: str) -> Any:
    """Import on first use: a command reads ``SamplingConfig`` for its ``--help``, without NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "sampling_config" if name.startswith("Sampling") else "streaming"
    return getattr(importlib.import_module(f"{__name__}.{module}"), name)
