"""What the tokenizer tests share: the data beside the repository, nasty texts, core or not."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import strategies as st

from llm_explainer.tokenizer import BPETokenizer, CharTokenizer, WordTokenizer, core

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


# Whatever a rule about neighbours could get wrong stands side by side here.
TRICKY = "ab'sdmtlver'STLLVR \n\r\t.!?,—12345٣é中🙂ſ\u0301\u00a0\u2028\u3000\x1c\x85"


def tricky_text(rng: random.Random, most: int = 30) -> str:
    alphabet = rng.choice([TRICKY, "'slLre \na", " \n\r\t\u3000!a1'", None])
    if alphabet is not None:
        return "".join(rng.choices(alphabet, k=rng.randint(1, most)))
    limits = [rng.choice([0x80, 0x250, 0x3000, 0xD800, 0x110000]) for _ in range(most)]
    codes = (rng.randrange(limit) for limit in limits)
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000) or "a"


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


HAVE_CORE = core.core_in_use()
WAYS = [
    pytest.param(False, id="numpy"),
    pytest.param(
        True, id="core", marks=pytest.mark.skipif(not HAVE_CORE, reason="the core is not built")
    ),
]
either_way = pytest.mark.parametrize("with_core", WAYS)


def use(with_core: bool) -> AbstractContextManager[object]:
    """Choose the core or NumPy for the length of a ``with`` block."""
    return mock.patch.object(core, "core_in_use", return_value=with_core)
