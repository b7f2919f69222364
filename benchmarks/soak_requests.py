"""What the clients of a soak ask for, and the model that answers them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_explainer import ModelConfig, load_backend
from llm_explainer.adapters import apply_lora
from llm_explainer.checkpoint import save_adapter, save_checkpoint
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate

WRONG = "wrong"
PIECES = ["Once", " there", " was", " a fox", "é", "—", "日本", "🦊", "\n", " the", "a", "s", ". "]
MISTAKES: list[dict[str, Any] | bytes] = [
    {},
    {"prompt": "a", "max_tokens": -1},
    {"prompt": "a", "model": "../../etc/passwd"},
    {"prompt": [10**9]},
    {"prompt": "a", "logit_bias": {"1": 5}},
    {"prompt": "a" * 5000},
    b"{",
    b"\xff\xfe",
    b"[" * 1000,
]
KINDS = {
    "completion": 40,
    "chat": 20,
    "score": 10,
    "tokens": 10,
    "text": 5,
    "explain": 3,
    WRONG: 12,
}
N_IDS = 250  # every model has them


@dataclass(frozen=True)
class Wanted:
    """A request; ``leave_after`` so many seconds nobody waits for its answer any more."""

    kind: str
    path: str
    body: dict[str, Any] | bytes
    leave_after: float | None = None


def make_model(folder: Path) -> tuple[Path, list[str]]:
    """Write a small model of random weights, which knows conversations, and adapters on it.

    Returns:
        the model's folder, and what ``serve`` is told beside it.
    """
    tokenizer = BPETokenizer.train(["".join(PIECES) * 50], vocab_size=300)
    tokenizer.chat_template = ChatTemplate()
    config = ModelConfig.preset(
        "tiny", family="llama", vocab_size=tokenizer.vocab_size, context_length=256
    )
    model = load_backend("numpy").GPT(config, seed=0)
    save_checkpoint(folder / "model", model, tokenizer)
    adapted = apply_lora(model, LoRAConfig(rank=4))
    save_adapter(folder / "adapter", adapted, base=folder / "model", tokenizer=tokenizer)
    return folder / "model", ["--adapter", f"adapted={folder / 'adapter'}"]


def filling(seed: int, model: str, length: int) -> Iterator[dict[str, Any]]:
    """Yield requests whose prompts, of so many tokens, begin differently: so all are kept."""
    rng = random.Random(f"{seed} filling")
    while True:
        prompts = [[rng.randrange(N_IDS) for _ in range(length)] for _ in range(8)]
        yield {"model": model, "prompt": prompts, "max_tokens": 1}


def some_text(rng: random.Random, longest: int) -> str:
    """Return a text of up to so many pieces."""
    return "".join(rng.choices(PIECES, k=rng.randint(1, longest)))


def some_request(rng: random.Random, models: list[str]) -> Wanted:
    """Return a request, one in four to be left at a random moment."""
    (kind,) = rng.choices(list(KINDS), weights=list(KINDS.values()))
    model = rng.choice(models)
    leave_after = rng.expovariate(1 / 0.05) if rng.random() < 0.25 else None
    how = {"model": model, "max_tokens": rng.randint(1, 80), "seed": rng.randrange(1000)}
    sampled = {**how, "temperature": rng.choice([0, 0.8]), "stream": rng.random() < 0.5}
    text = some_text(rng, rng.choice([4, 60]))
    if kind == "completion":
        stop = rng.choice([None, ["e"], ["\n", "th"]])
        logprobs = rng.choice([None, None, 3])
        body = {**sampled, "prompt": text, "stop": stop, "logprobs": logprobs, "n": 1}
        return Wanted(kind, "/v1/completions", body, leave_after)
    if kind == "chat":
        turn = {"role": "user", "content": text}
        body = {**sampled, "messages": [turn], "stream_options": None}
        return Wanted(kind, "/v1/chat/completions", body, leave_after)
    if kind == "score":
        body = {"model": model, "prompt": [text, "Once"], "max_tokens": 0}
        return Wanted(kind, "/v1/completions", {**body, "echo": True, "logprobs": 1}, leave_after)
    if kind == "tokens":
        return Wanted(kind, "/tokenize", {"model": model, "prompt": text}, leave_after)
    if kind == "text":
        tokens = [rng.randrange(N_IDS) for _ in range(20)]
        return Wanted(kind, "/detokenize", {"model": model, "tokens": tokens}, leave_after)
    if kind == "explain":
        return Wanted(kind, "/v1/explain", {"model": model, "prompt": text[:60]}, leave_after)
    mistake = rng.choice(MISTAKES)
    if isinstance(mistake, dict):
        mistake = {"model": model, **mistake}
    return Wanted(WRONG, "/v1/completions", mistake, leave_after)
