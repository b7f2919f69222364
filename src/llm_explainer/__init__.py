"""A complete language model in Python that can be read to the bottom."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llm_explainer import plain
    from llm_explainer.adapters import apply_lora, merge_lora, unmerge_lora
    from llm_explainer.backend import load_backend
    from llm_explainer.checkpoint import load_checkpoint, save_checkpoint
    from llm_explainer.commands.from_python import finetune, train
    from llm_explainer.config import ModelConfig
    from llm_explainer.explorer import explore
    from llm_explainer.generation import generate
    from llm_explainer.lora_config import LoRAConfig
    from llm_explainer.tokenizer import BPETokenizer
    from llm_explainer.tracing import trace

__all__ = [
    "BPETokenizer",
    "LoRAConfig",
    "ModelConfig",
    "apply_lora",
    "explore",
    "finetune",
    "generate",
    "load_backend",
    "load_checkpoint",
    "merge_lora",
    "plain",
    "save_checkpoint",
    "trace",
    "train",
    "unmerge_lora",
]

_HOMES = {
    "BPETokenizer": "llm_explainer.tokenizer",
    "LoRAConfig": "llm_explainer.lora_config",
    "ModelConfig": "llm_explainer.config",
    "apply_lora": "llm_explainer.adapters",
    "explore": "llm_explainer.explorer",
    "finetune": "llm_explainer.commands.from_python",
    "generate": "llm_explainer.generation",
    "load_backend": "llm_explainer.backend",
    "load_checkpoint": "llm_explainer.checkpoint",
    "merge_lora": "llm_explainer.adapters",
    "save_checkpoint": "llm_explainer.checkpoint",
    "trace": "llm_explainer.tracing",
    "train": "llm_explainer.commands.from_python",
    "unmerge_lora": "llm_explainer.adapters",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562), so that ``--help`` need not wait."""
    if name == "plain":
        return importlib.import_module("llm_explainer.plain")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next use finds it without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
