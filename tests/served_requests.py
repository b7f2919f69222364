"""Engines over small models, and requests of many kinds, for tests of the server's engine."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from llm_explainer.adapters import apply_lora
from llm_explainer.backend import load_backend
from llm_explainer.config import ModelConfig
from llm_explainer.generation import SamplingConfig
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.server.engine import Engine
from llm_explainer.server.requests import Completion
from llm_explainer.tokenizer import BPETokenizer

TEXT = "Once upon a time a fox met a hen.\nThe hen sang — für Élise 🦊 — and ran. 你好，世界！\n"
CONTEXT = 96
SIZES: dict[str, Any] = {"context_length": CONTEXT, "d_model": 48, "n_layers": 2, "n_heads": 4}
LLAMA: dict[str, Any] = {
    "norm": "rmsnorm",
    "position": "rope",
    "activation": "swiglu",
    "bias": False,
    "n_kv_heads": 2,
}
YARN = {"rule": "yarn", "factor": 4.0, "original_context": 24, "attention_factor": 1.2}
KINDS: dict[str, dict[str, Any]] = {
    "gpt2": {},
    "llama": LLAMA,
    "window": {**LLAMA, "sliding_window": 20, "window_layers": (1,)},
    "qk norm, yarn, untied": {
        **LLAMA,
        "qk_norm": True,
        "rope_scaling": YARN,
        "tie_embeddings": False,
    },
    "post, sinusoidal": {"norm_position": "post", "position": "sinusoidal"},
}


@cache
def tokenizer() -> BPETokenizer:
    return BPETokenizer.train([TEXT * 4], vocab_size=320)


def make_model(backend: str = "numpy", kind: str = "gpt2", adapted: bool = False) -> Any:
    """Return a model of about the tokenizer's size, whose next token is far from certain."""
    config = ModelConfig(vocab_size=328, **{**SIZES, **KINDS[kind]})
    model = load_backend(backend).GPT(config, seed=3)
    if adapted:
        model = apply_lora(model, LoRAConfig(rank=4))
        for part in (block.attention.qkv_proj for block in model.blocks):
            for own in part.slices:
                own.lora_b = own.lora_b + 0.1
    return model


def make_engine(model: Any = None, **options: Any) -> Engine:
    return Engine({"m": (model or make_model(), tokenizer())}, **{"queue": 10_000, **options})


def request(seed: int, longest: int = 60, **changes: Any) -> Completion:
    """Return a request that its seed decides: of some length, in one of many ways."""
    rng = np.random.default_rng(seed)
    ids = tokenizer().encode(TEXT)
    start, n_prompt = rng.integers(len(ids)), 1 + int(rng.integers(longest))
    sampling = SamplingConfig(
        seed=seed,
        max_tokens=int(rng.integers(1, 40)),
        temperature=float(rng.choice([0.0, 0.7, 1.3])),
        top_k=[None, 5, 50][rng.integers(3)],
        top_p=[None, 0.9][rng.integers(2)],
        min_p=[None, 0.02][rng.integers(2)],
        repetition_penalty=float(rng.choice([1.0, 1.2])),
    )
    prompt = tuple((ids * 3)[start : start + n_prompt])
    return Completion(prompt_ids=prompt, sampling=sampling, index=seed % 3, **changes)
