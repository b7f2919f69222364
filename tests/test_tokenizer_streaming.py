"""Text in pieces, text without an end to its words, text by several processes: the same result."""

from __future__ import annotations

import random
import tracemalloc
from itertools import chain
from pathlib import Path
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizer_cases import NASTY_TEXTS, SAMPLE, texts

from llm_explainer.tokenizer import (
    BPETokenizer,
    CharTokenizer,
    WordTokenizer,
)
from llm_explainer.tokenizer.files.training_texts import read_texts
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable import splitting
from llm_explainer.tokenizer.readable.counting import count_words
from llm_explainer.tokenizer.readable.merging import merge_word
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.training import Chains

LONG_NAME = "<|" + "very " * 40 + "long|>"  # longer than patterns look ahead
NAMES = ["<|endoftext|>", "<|endoftext|><|unk|>", "<|unk|>", LONG_NAME]
TOKENIZERS = [
    BPETokenizer.train([SAMPLE], 400, special_tokens=NAMES),
    BPETokenizer.train([SAMPLE], 400, special_tokens=NAMES, pattern="gpt4"),
    CharTokenizer.train([SAMPLE], special_tokens=NAMES),
    WordTokenizer.train([SAMPLE], special_tokens=NAMES),
]
IDS = ["gpt2", "gpt4", "characters", "words"]

WORST_CASES = {
    "one letter": "a" * 200_000,
    "no spaces": "".join(random.Random(0).choices("abcdefgh", k=200_000)),
    "emoji": "".join(random.Random(0).choices("🙂😀🎉👍🚀", k=50_000)),
    "digits": "".join(random.Random(0).choices("0123456789", k=200_000)),
    "newlines": "\n" * 200_000,
    "combining marks": "e" + "\u0301" * 100_000,
    "apostrophes": "'" * 200_000,
}


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a stream look for words every few characters, so that every cut is tried."""
    monkeypatch.setattr(splitting, "_BLOCK_CHARS", 8)


@pytest.mark.parametrize("tokenizer", TOKENIZERS, ids=IDS)
@pytest.mark.parametrize("size", [1, 3, 7, 100])
@pytest.mark.usefixtures("small_blocks")
def test_pieces_give_the_ids_of_the_whole(tokenizer: BPETokenizer, size: int) -> None:
    rng = random.Random(size)
    joints = ["<|endoftext|>", "<|endof", " " * 90 + "\n", "\n" * 90, "'ll", "a" * 200, " "]
    joints += ["<|endoftext|><|unk|>", LONG_NAME, LONG_NAME[:150], "\n" + " " * 400 + "\n"]
    for _ in range(15):
        parts = [rng.choice([*NASTY_TEXTS, *joints, SAMPLE[:50]]) for _ in range(6)]
        text = "".join(parts)
        pieces = [text[start : start + size] for start in range(0, len(text), size)]
        assert list(tokenizer.encode_iterable(pieces)) == tokenizer.encode(text)


@given(parts=st.lists(texts, max_size=8))
@example(parts=["a\n", "      ", "   ", "\n b"])  # one word of white space, if one waits for it
def test_any_pieces_give_the_words_of_the_whole(parts: list[str]) -> None:
    # Both named patterns look at most two characters past the end of a word.
    with mock.patch.multiple(splitting, _BLOCK_CHARS=4, _LOOKAHEAD_CHARS=2):
        for pattern in ("gpt2", "gpt4"):
            words = Splitter(pattern, ["<|>", "<||"])
            whole = [words.words(ordinary) for ordinary, _ in words.parts("".join(parts))]
            streamed = [words_of_part for words_of_part, _ in words.stream(parts)]
            assert [*chain(*streamed)] == [*chain(*whole)]


def test_encode_iterable_is_lazy_and_keeps_memory_bounded() -> None:
    tokenizer = TOKENIZERS[0]
    lines = (f"{SAMPLE[i % 100 : i % 100 + 80]}\n" for i in range(6_000))  # 480 kB
    n_ids = 0
    tracemalloc.start()
    try:
        for _ in tokenizer.encode_iterable(lines):
            n_ids += 1
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert n_ids > 100_000
    assert peak < 1_000_000


def test_the_word_cache_is_bounded() -> None:
    tokenizer = BPETokenizer.train([SAMPLE], 300)
    text = " ".join(str(number) for number in range(70_000))
    PatternTokenizer.encode(tokenizer, text)
    info = tokenizer._cached_word_ids.cache_info()
    assert info.currsize == info.maxsize == 1 << 16
    PatternTokenizer.encode(tokenizer, "a" * 1000)  # too long to keep
    assert tokenizer._cached_word_ids.cache_info() == info


@pytest.mark.parametrize("text", WORST_CASES.values(), ids=WORST_CASES)
def test_worst_cases_come_back_whole(text: str) -> None:
    tokenizer = BPETokenizer.train([text], 300)
    blocks = (text[start : start + 4096] for start in range(0, len(text), 4096))
    assert tokenizer.decode(tokenizer.encode_iterable(blocks)) == text


class CountingRanks(dict[tuple[int, int], int]):
    """Merges that count how often they are asked for, which is the work of encoding."""

    asked = 0

    def get(self, pair: tuple[int, int], default: int | None = None) -> int | None:  # type: ignore[override]
        self.asked += 1
        return super().get(pair, default)


def test_work_grows_with_the_length_of_a_word_not_its_square() -> None:
    n = 20_000
    merges = [(97, 97), *((256 + level, 256 + level) for level in range(10))]
    ranks = CountingRanks({pair: rank for rank, pair in enumerate(merges)})
    ids = merge_word([97] * n, ranks, range(256, 300))
    assert len(ids) == n // 2048 + bin(n % 2048).count("1")
    assert ranks.asked < 6 * n

    chains = Chains({b"a" * n: 1})
    visited = 0
    for rank, pair in enumerate(merges):
        visited += len(chains.places[pair])
        chains.merge(pair, 256 + rank)
    assert visited < 3 * n


def test_a_stream_scans_a_word_without_end_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scanned = 0
    settled = Splitter._settled

    def counting(self: Splitter, buffer: str, names: tuple[str, ...]) -> object:
        nonlocal scanned
        scanned += len(buffer)
        return settled(self, buffer, names)

    monkeypatch.setattr(Splitter, "_settled", counting)
    n = 1 << 20
    pieces = ("a" * 1024 for _ in range(n // 1024))
    assert [words for words, _ in Splitter("gpt2").stream(pieces) if words] == [["a" * n]]
    assert scanned < 4 * n


def test_paths_and_texts_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("hello hello\r\n", encoding="utf-8", newline="")
    splitter_ = Splitter("gpt2")
    expected = {"hello": 1, " hello": 1, "\r\n": 1}
    assert count_words(read_texts(path), splitter_) == expected
    assert count_words(read_texts(str(path)), splitter_) == expected
    assert count_words(read_texts(["hello hello\r\n"]), splitter_) == expected
    assert count_words(read_texts([path, path]), splitter_) == dict.fromkeys(expected, 2)
    assert count_words(read_texts(["ab", "c"]), splitter_) == {"ab": 1, "c": 1}


def test_progress_reports_reading_and_merging() -> None:
    seen: list[tuple[str, int, int]] = []
    tokenizer = BPETokenizer.train(
        [SAMPLE, SAMPLE], 400, progress=lambda *report: seen.append(report)
    )
    reading = [report for report in seen if report[0] == "reading"]
    merging = [report for report in seen if report[0] == "merging"]
    assert reading[-1] == ("reading", 2 * len(SAMPLE), 0)
    assert merging[-1][1] <= len(tokenizer.merges) <= merging[-1][2] == 400 - 257
    assert seen == reading + merging
