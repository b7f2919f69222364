"""Contestants of benchmarks.tokenizer: ``python -m ... TASK NAME TEXT SIZE [VOCAB MERGES]``.

Nothing of the tokenizer is imported before ``main`` has decided whether it may use its core.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.interleaved import WARMUP_STEPS, serve

if TYPE_CHECKING:
    from llm_explainer.tokenizer import BPETokenizer

LARGE = "train, large, two processes"
_FORMS = ["ours", "ours to a list", "ours, NumPy", "ours, NumPy to a list"]
TASKS = {
    "train": ["ours", "ours, NumPy", "hf", "rustbpe"],
    LARGE: ["ours", "ours, NumPy", "rustbpe"],
    "encode cold": [*_FORMS, "tiktoken"],
    "encode gpt4": [*_FORMS, "tiktoken"],
    "encode llama3": [*_FORMS, "hf", "tiktoken"],
    "encode qwen": [*_FORMS, "hf", "tiktoken"],
    "encode smollm": [*_FORMS, "hf", "tiktoken"],
    "encode warm": [*_FORMS, "hf", "tiktoken"],
    "decode": [name.replace("to a", "from a") for name in _FORMS] + ["hf", "tiktoken"],
}
"""Who takes part in what; the last is the one with which the others are compared."""

Step = Callable[[], object]


def main() -> None:
    """Serve steps of the task and the contestant named on the command line."""
    task, name, text, vocab_size, *gpt2 = sys.argv[1:]
    if "NumPy" in name:
        os.environ["LLM_EXPLAINER_NO_CORE"] = "1"
    if task in ("train", LARGE):
        is_large = task == LARGE
        step = _training(name, Path(text), int(vocab_size), workers=1 + is_large)
        serve(step, 0 if is_large else WARMUP_STEPS)
        return
    from llm_explainer.tokenizer import BPETokenizer
    from llm_explainer.tokenizer.readable.patterns import PATTERNS

    tokenizer = BPETokenizer.from_gpt2(*gpt2) if gpt2 else BPETokenizer.train(Path(text), 10_000)
    pattern = task.removeprefix("encode ")
    if pattern in PATTERNS:
        tokenizer = _with_pattern(tokenizer, pattern)
    content = Path(text).read_text(encoding="utf-8")
    serve((_decoding if task == "decode" else _encoding)(name, tokenizer, content, task))


def _training(name: str, text: Path, vocab_size: int, workers: int) -> Step:
    from llm_explainer.tokenizer import BPETokenizer
    from llm_explainer.tokenizer.readable.patterns import PATTERNS

    if name.startswith("ours"):
        return lambda: BPETokenizer.train(text, vocab_size, workers=workers)
    if name == "rustbpe":
        import rustbpe

        # Several texts are what it needs to use several threads; they become words alike.
        documents = text.read_text(encoding="utf-8").split("<|endoftext|>")
        return lambda: rustbpe.Tokenizer().train_from_iterator(
            iter(documents), vocab_size - 1, pattern=PATTERNS["gpt2"]
        )
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    def train() -> None:
        peer = Tokenizer(models.BPE())
        peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        peer.train([str(text)], trainer)

    return train


def _encoding(name: str, tokenizer: BPETokenizer, text: str, task: str) -> Step:
    if name == "tiktoken":
        peer = tiktoken_of(tokenizer)
        return lambda: peer.encode(text, allowed_special="all")
    if name == "hf":
        other = _hf(tokenizer)
        return lambda: other.encode(text).ids

    def encode() -> object:
        if task != "encode warm":
            tokenizer._fast_encoder.forget()
        return tokenizer.encode(text) if "list" in name else tokenizer.encode_array(text)

    return encode


def _decoding(name: str, tokenizer: BPETokenizer, text: str, _task: str) -> Step:
    array = tokenizer.encode_array(text)
    ids = array.tolist()
    if name == "tiktoken":
        peer = tiktoken_of(tokenizer)
        return lambda: peer.decode(ids)
    if name == "hf":
        other = _hf(tokenizer)
        return lambda: other.decode(ids, skip_special_tokens=False)
    return lambda: tokenizer.decode(ids if "list" in name else array)


def _with_pattern(tokenizer: BPETokenizer, pattern: str) -> BPETokenizer:
    special = set(tokenizer.special_tokens.values())
    vocab = {i: token for i, token in tokenizer.vocab.items() if i not in special}
    return type(tokenizer)(vocab, tokenizer.merges, tokenizer.special_tokens, pattern)


def tiktoken_of(tokenizer: BPETokenizer):
    """Return tiktoken's encoding of the same vocabulary and pattern."""
    import tiktoken

    from llm_explainer.tokenizer.readable.patterns import PATTERNS

    special = set(tokenizer.special_tokens.values())
    return tiktoken.Encoding(
        "peer",
        pat_str=PATTERNS[tokenizer.pattern],
        mergeable_ranks={token: i for i, token in tokenizer.vocab.items() if i not in special},
        special_tokens=tokenizer.special_tokens,
    )


def _hf(tokenizer: BPETokenizer):
    from tokenizers import Tokenizer

    return Tokenizer.from_buffer(tokenizer.to_json())


if __name__ == "__main__":
    main()
