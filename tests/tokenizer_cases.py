"""What the tokenizer tests share: the data beside the repository, nasty texts, plain BPE."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from llm_explainer.tokenizer import BPETokenizer, CharTokenizer, WordTokenizer

DATA = Path(__file__).parents[2] / "shared" / "data"
FIXTURES = Path(__file__).parent / "fixtures"

SAMPLE = (
    "The theme of the thesis is that they gather there.\n"
    "It wasn't the first time: WE'LL see 1024!\n"
    "  naïve café, 你好，世界 🙂🙂 — ok\r\n\tthen other brothers bathe together    in 2048.\n"
) * 4

NASTY_TEXTS = [
    "",
    " ",
    "\n\n \n  a",
    "'s 'S 'll'LL'ſ",
    "a" * 300,
    "🙂👨‍👩‍👧" * 50,
    "e\u0301\u0301\ufeff\u200d\x00",
    "\x1c\x85\u00a0\u3000 x",
    "<|endoftext|><|endoftext|>a<|endoftext",
    "123456789 ١٢٣ Ⅷ½",
]

# Characters on which patterns decide, among all others that Unicode has.
texts = st.text(
    st.one_of(
        st.sampled_from("abst'ldmrev .,!?\n\r\t 0123ABÉé中🙂\u0301\u00a0\x1c<|>"),
        st.characters(codec="utf-8"),
    ),
    max_size=60,
)


def one_of_each_kind() -> dict[str, Any]:
    """Return small tokenizers by the name of their kind."""
    return {
        "bpe": BPETokenizer.train([SAMPLE], 300),
        "characters": CharTokenizer.train([SAMPLE]),
        "words": WordTokenizer.train([SAMPLE]),
    }


def data_file(name: str) -> Path:
    """Return a file of the shared data; skip the test where there is none."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"needs {name} in ../shared/data")
    return path


def naive_merges(word_counts: dict[bytes, int], n_merges: int) -> list[tuple[bytes, bytes]]:
    """Learn merges by the definition: count every pair anew before each merge."""
    words = {word: [bytes([byte]) for byte in word] for word in word_counts}
    merges: list[tuple[bytes, bytes]] = []
    while len(merges) < n_merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, tokens in words.items():
            for pair in pairwise(tokens):
                pairs[pair] += word_counts[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        words = {word: join_pair(tokens, best) for word, tokens in words.items()}
    return merges


def naive_tokens(word: bytes, merges: list[tuple[bytes, bytes]]) -> list[bytes]:
    """Encode a word by the definition: try every merge in the order of learning."""
    tokens = [bytes([byte]) for byte in word]
    for merge in merges:
        tokens = join_pair(tokens, merge)
    return tokens


def join_pair(tokens: list[bytes], pair: tuple[bytes, bytes]) -> list[bytes]:
    joined: list[bytes] = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined
