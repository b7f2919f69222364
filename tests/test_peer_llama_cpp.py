"""A model of ours as a GGUF file in llama.cpp and transformers: they write what we write.

By hand: ``uv run --group peers pytest -n 0 tests/test_peer_llama_cpp.py``. gpt4all carries a
llama.cpp of August 2024. It rounds what F16 and Q8_0 weights are multiplied by as well, so there it
may choose another token where two are as likely as its rounding can tell.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_explainer import load_checkpoint
from llm_explainer.checkpoint.export import export_gguf
from llm_explainer.commands.quick import quick_settings
from llm_explainer.data.stories.tell import iter_stories
from llm_explainer.generation import generate_ids
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.run import start_run

pytestmark = pytest.mark.filterwarnings("ignore")
N_TOKENS = 32
PROMPTS = [story.text[: 10 + 3 * i] for i, story in enumerate(islice(iter_stories(seed=7), 20))]
NEAR = {"F32": 0.0, "F16": 2e-3, "Q8_0": 3e-2}  # of the largest logit: what rounding explains


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Return a model that quick trains, and its tokenizer."""
    folder = RunFolder(tmp_path_factory.mktemp("llama") / "quick")
    run = start_run(quick_settings(600, 0, "numpy"), folder)
    run.train()
    return load_checkpoint(folder.path, "numpy")


@pytest.mark.skipif(find_spec("gpt4all") is None, reason="gpt4all is not installed")
@pytest.mark.parametrize("kind", NEAR)
def test_llama_cpp_writes_what_we_write(kind: str, told: tuple[Any, Any], tmp_path: Path) -> None:
    peer_module = importlib.import_module("gpt4all._pyllmodel")
    model, tokenizer = told
    file = _export(kind, told, tmp_path)
    peer = peer_module.LLModel(str(file), model.config.context_length, 0, "kompute")
    assert peer.load_model()
    peer.set_thread_count(1)

    def continued(prompt: str) -> list[int]:
        ids: list[int] = []
        peer.prompt_model(
            prompt,
            "%1",  # the prompt as it is
            lambda token, _: ids.append(token) is None,
            n_predict=N_TOKENS,
            top_k=1,
            temp=0.0,
            repeat_penalty=1.0,
            reset_context=True,
        )
        return ids

    read, _ = load_checkpoint(file, "numpy")
    for prompt in PROMPTS:
        _compare(read, tokenizer, prompt, continued(prompt), NEAR[kind])
    peer.close()


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
@pytest.mark.parametrize("kind", NEAR)
def test_transformers_writes_what_we_write(
    kind: str, told: tuple[Any, Any], tmp_path: Path
) -> None:
    transformers = importlib.import_module("transformers")
    torch = pytest.importorskip("torch")
    file = _export(kind, told, tmp_path)
    peer = transformers.AutoModelForCausalLM.from_pretrained(
        str(file.parent), gguf_file=file.name, dtype=torch.float32
    )
    read, tokenizer = load_checkpoint(file, "numpy")
    for prompt in PROMPTS:
        ids = torch.tensor([tokenizer.encode(prompt)])
        found = peer.generate(ids, max_new_tokens=N_TOKENS, do_sample=False)
        _compare(read, tokenizer, prompt, found[0, ids.shape[1] :].tolist(), 0.0)


def _export(kind: str, told: tuple[Any, Any], folder: Path) -> Path:
    proof = export_gguf(
        *told,
        folder / "out",
        kind=kind,
        texts=["Once there was a fox"],
        source="a test",  # type: ignore[arg-type]
    )
    return proof.path


def _compare(model: Any, tokenizer: Any, prompt: str, found: list[int], near: float) -> None:
    """Assert that ids are the likeliest of the model, or as likely as a share of the largest."""
    ids = tokenizer.encode(prompt)
    found = found[: found.index(tokenizer.end_of_text)] if tokenizer.end_of_text in found else found
    ours = list(
        generate_ids(
            model, ids, end_of_text=tokenizer.end_of_text, max_tokens=N_TOKENS, temperature=0
        )
    )
    assert found, prompt
    for place, (token, likeliest) in enumerate(_side_by_side(found, ours, tokenizer.end_of_text)):
        if token != likeliest:
            logits = np.asarray(model.next_logits(np.array([ids + ours[:place]])))[0]
            gap = logits[likeliest] - logits[token]
            assert gap <= near * np.abs(logits).max(), (prompt, place, gap)
            return  # from here on they write different texts


def _side_by_side(found: list[int], ours: list[int], end: int) -> Iterator[tuple[int, int]]:
    """Yield the tokens at each place; the shorter text has an end of text there."""
    for place in range(max(len(found), len(ours))):
        yield (
            found[place] if place < len(found) else end,
            ours[place] if place < len(ours) else end,
        )
