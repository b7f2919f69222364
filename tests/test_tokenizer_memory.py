"""What an encoder remembers is bounded, and what is used stays."""

from __future__ import annotations

import tracemalloc
from unittest import mock

import pytest
from tokenizer_cases import SAMPLE, either_way, use

from llm_explainer.tokenizer import BPETokenizer, core
from llm_explainer.tokenizer.fast import encoding
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable.merging import merge_word


@either_way
def test_words_that_are_used_stay_right_and_few(with_core: bool) -> None:
    with (
        use(with_core),
        mock.patch.object(encoding, "MOST_WORDS", 200),
    ):
        tokenizer = BPETokenizer.train([SAMPLE], 300)
        for start in range(0, 6000, 20):
            # The same words in every text, short and long ones, among words that never come again.
            new = " ".join(f"{number} {number:020}" for number in range(start, start + 20))
            text = f"{SAMPLE[:200]} {'thenthen' * 3} {new}"
            assert tokenizer.encode_array(text).tolist() == PatternTokenizer.encode(tokenizer, text)
            assert tokenizer._fast_encoder.n_kept() <= 200 + 200


def test_a_word_that_is_used_is_merged_once(monkeypatch: pytest.MonkeyPatch) -> None:
    merged: list[bytes] = []

    def counting(ids: list[int], *rest: object) -> list[int]:
        merged.append(bytes(ids))
        return merge_word(ids, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("llm_explainer.tokenizer.fast.numpy_encoding.merge_word", counting)
    monkeypatch.setattr(core, "core_in_use", lambda: False)
    monkeypatch.setattr(encoding, "MOST_WORDS", 100)
    tokenizer = BPETokenizer.train([SAMPLE], 300)
    for start in range(0, 5000, 40):
        new = " ".join(f"{number:020}" for number in range(start, start + 40))
        tokenizer.encode_array(f"used{'used' * 6} {new}" * 10)
    assert merged.count(b"used" * 7) == 1
    assert merged.count(b" " + b"%020d" % 7) == 1
    tokenizer.encode_array(f" {7:020}" * 1000)
    assert merged.count(b" " + b"%020d" % 7) == 2  # long forgotten


@either_way
def test_a_stream_adds_less_than_a_megabyte_to_the_memory_of_words(with_core: bool) -> None:
    with use(with_core):
        tokenizer = BPETokenizer.train([SAMPLE], 300)
        tokenizer.encode_array(SAMPLE)
        lines = (f"{SAMPLE[i % 100 : i % 100 + 80]}\n" for i in range(62_000))  # 5 MB
        n_ids = 0
        tracemalloc.start()
        try:
            for _ in tokenizer.encode_iterable(lines):
                n_ids += 1
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert n_ids > 1_000_000
    assert peak < 1_000_000
