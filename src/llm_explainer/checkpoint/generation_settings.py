"""``generation_config.json``: how the people who made a model would have it choose tokens."""

from __future__ import annotations

import os
from typing import Any

from llm_explainer.checkpoint.adapters import base_of, is_adapter
from llm_explainer.checkpoint.gguf import is_gguf
from llm_explainer.checkpoint.json_objects import JsonObject, read_object
from llm_explainer.checkpoint.reading import reading

GENERATION = "generation_config.json"
_NUMBERS = ("temperature", "top_p", "min_p", "repetition_penalty")


def read_generation_settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return fields of ``SamplingConfig`` that a checkpoint's files set; empty where none do.

    Where they have the likeliest token taken, that is a temperature of 0. What they leave out is as
    transformers has it: temperature 1, the 50 likeliest tokens.

    Raises:
        CheckpointError: missing or damaged files.
    """
    with reading(path) as place:
        if is_gguf(place):
            return {}
        if is_adapter(place):
            return read_generation_settings(base_of(place))
        if not (place / GENERATION).exists():
            return {}
        values = JsonObject(read_object(place / GENERATION), place / GENERATION)
        samples = values.get("do_sample")
        if samples is not None and not values.flag("do_sample"):
            return {"temperature": 0.0, "top_p": None}
        found = {name: values.number(name) for name in _NUMBERS if values.get(name) is not None}
        if not found and samples is None:
            return {}
        top_k = values.get("top_k")
        kept = None if top_k == 0 else values.size("top_k", 50)
        return {"temperature": 1.0, "top_p": None, "top_k": kept, **found}
