"""Texts of a real model beside each other, whatever its weights are kept in; by hand.

``CAMPAIGNS=1 uv run pytest tests/test_server_weights.py``, with what ``tests.real_models`` fetches.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import numpy as np
import pytest
from real_models import SMOLLM2, needs
from test_server_engine import answers, backends

from llm_explainer.adapters import apply_lora
from llm_explainer.checkpoint import load_checkpoint
from llm_explainer.checkpoint.storage import Storage
from llm_explainer.generation import SamplingConfig, generate
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.server.engine import Engine
from llm_explainer.server.requests import Completion, joined

pytestmark = [
    pytest.mark.skipif(not os.environ.get("CAMPAIGNS"), reason="by hand, with CAMPAIGNS=1"),
    pytest.mark.filterwarnings("ignore"),  # of weights that are used as others
    needs(SMOLLM2),
]
TEXT = (
    "Once upon a time a shy fox met a hen. — für Élise 🦊 — 你好，世界! She sang, and he ran. " * 4
)
STORAGES = {
    "float32": Storage(),
    "bfloat16": Storage("bfloat16"),
    "8 bits": Storage(bits=8),
    "4 bits": Storage(bits=4),
    "4 bits in bfloat16": Storage("bfloat16", 4),
}
CASES = [
    (backend, storage, adapted)
    for backend in backends()
    for storage in (STORAGES if backend == "mlx" else ["float32"])
    for adapted in ([False, True] if storage == "float32" else [False])
]


def requests(ids: list[int]) -> list[Completion]:
    """Return texts of many lengths; every other one takes the likeliest."""
    rng = np.random.default_rng(0)
    asked = []
    for seed in range(8):
        start, n_prompt = int(rng.integers(40)), 1 + int(rng.integers(90))
        sampling = SamplingConfig(
            temperature=0.0 if seed % 2 else 0.9, top_p=None, seed=seed, max_tokens=10
        )
        asked.append(Completion(prompt_ids=tuple(ids[start : start + n_prompt]), sampling=sampling))
    return [dataclasses.replace(asked[0], logprobs=3, echo=True), *asked[1:]]


def put_adapters_on(model: Any) -> Any:
    """Return the model with adapters that change what it says."""
    adapted = apply_lora(model, LoRAConfig(rank=4))
    for part in (block.attention.qkv_proj for block in adapted.blocks):
        for own in part.slices:
            own.lora_b = own.lora_b + 0.05
    return adapted


@pytest.mark.parametrize(("backend", "storage", "adapted"), CASES)
def test_texts_are_the_same_alone_in_company_and_by_generate(
    backend: str, storage: str, adapted: bool
) -> None:
    base, tokenizer = load_checkpoint(SMOLLM2, backend, STORAGES[storage])
    model = put_adapters_on(base) if adapted else base
    engine = Engine({"m": (model, tokenizer), "base": (base, tokenizer)}, prefix_bytes=0)
    asked = requests(tokenizer.encode(TEXT))
    alone = answers(engine, asked, together=False)
    assert answers(engine, asked, together=True) == alone
    if adapted:
        of_base = [joined(engine.submit(one, "base")) for one in asked]
        assert sum(one.ids != other.ids for one, other in zip(of_base, alone, strict=True)) > 4
    engine.close()
    for one, found in zip(asked, alone, strict=True):
        if one.sampling.temperature == 0:
            stream = generate(model, tokenizer, one.prompt_ids, temperature=0, max_tokens=10)
            assert "".join(stream) == found.text
            assert tuple(stream.ids) == found.ids


@pytest.mark.skipif("mlx" not in backends(), reason="mlx is not there")
@pytest.mark.parametrize("storage", STORAGES)
def test_eight_rows_as_a_gpu_has_them_keep_texts_apart(
    storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from llm_explainer.mlx_backend.cache import TextRows

    monkeypatch.setattr(TextRows, "n_rows", staticmethod(lambda: 8))
    model, tokenizer = load_checkpoint(SMOLLM2, "mlx", STORAGES[storage])
    engine = Engine({"m": (model, tokenizer)}, prefix_bytes=0)
    asked = requests(tokenizer.encode(TEXT))[:4]
    alone = answers(engine, asked, together=False)
    assert answers(engine, asked, together=True) == alone
    engine.close()
