"""The fast tokenizer, compiled or with NumPy alone, gives what the readable one gives."""

from __future__ import annotations

import random
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizer_cases import NASTY_TEXTS, SAMPLE, texts

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import (
    BPETokenizer,
    CharTokenizer,
    core,
    fast_counting,
    fast_decoding,
    fast_encoding,
    vector_encoding,
)
from llm_explainer.tokenizer.bpe_training import Ties, learn_merges
from llm_explainer.tokenizer.counting import count_words, last_cut
from llm_explainer.tokenizer.fast_counting import WordCounts, count_word_bytes
from llm_explainer.tokenizer.fast_encoding import next_cut, word_ends
from llm_explainer.tokenizer.fast_training import learn_merges_fast
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.patterns import PATTERNS
from llm_explainer.tokenizer.splitter import Splitter

HAVE_CORE = core.core_in_use()
WAYS = [
    pytest.param(False, id="numpy"),
    pytest.param(
        True, id="core", marks=pytest.mark.skipif(not HAVE_CORE, reason="the core is not built")
    ),
]
either_way = pytest.mark.parametrize("with_core", WAYS)
patterns = pytest.mark.parametrize("pattern", PATTERNS)
TIES: list[Ties] = ["greatest-bytes", "lower-ids", "lower-ids-hf"]
NAMES = ["<|endoftext|>", "<|x|>", "<|x|><|x|>"]

# Whatever a rule about neighbours could get wrong stands side by side here.
TRICKY = "ab'sdmtlver'STLLVR \n\r\t.!?,—12345٣é中🙂ſ\u0301\u00a0\u2028\u3000\x1c\x85"


def use(with_core: bool) -> AbstractContextManager[object]:
    """Choose one of the two for the length of a ``with`` block."""
    return mock.patch.object(core, "core_in_use", return_value=with_core)


def tricky_text(rng: random.Random, most: int = 30) -> str:
    alphabet = rng.choice([TRICKY, "'slLre \na", " \n\r\t\u3000!a1'", None])
    if alphabet is not None:
        return "".join(rng.choices(alphabet, k=rng.randint(1, most)))
    limits = [rng.choice([0x80, 0x250, 0x3000, 0xD800, 0x110000]) for _ in range(most)]
    codes = (rng.randrange(limit) for limit in limits)
    return "".join(chr(code) for code in codes if not 0xD800 <= code < 0xE000) or "a"


def ends_by_regex(parts: list[str], pattern: str) -> list[int]:
    """Return where words end in UTF-8 with one byte between the parts, which is a word as well."""
    ends, end = [], 0
    for part in parts:
        for word in regex.findall(PATTERNS[pattern], part):
            end += len(word.encode())
            ends.append(end)
        end += 1
        ends.append(end)
    return ends[:-1]


@either_way
@patterns
class TestSplitting:
    def test_words_are_those_of_regex(self, pattern: str, with_core: bool) -> None:
        rng = random.Random(1)
        with use(with_core):
            for _ in range(3000):
                parts = [tricky_text(rng)]
                if rng.random() < 0.3:
                    parts += ["", tricky_text(rng), tricky_text(rng)]
                data = b"\xff".join(part.encode() for part in parts)
                assert word_ends(data, pattern).tolist() == ends_by_regex(parts, pattern), parts

    @given(text=texts.filter(bool))
    @example(text="'kŬ")  # 256 * k + Ŭ is what 256 * l + l is
    def test_of_any_text(self, pattern: str, with_core: bool, text: str) -> None:
        with use(with_core):
            assert word_ends(text.encode(), pattern).tolist() == ends_by_regex([text], pattern)

    def test_every_character_next_to_every_kind(self, pattern: str, with_core: bool) -> None:
        codes = [code for code in range(0x3100) if not 0xD800 <= code < 0xE000]
        text = "".join(f"{chr(code)}a{chr(code)} {chr(code)}1{chr(code)}\n" for code in codes)
        with use(with_core):
            assert word_ends(text.encode(), pattern).tolist() == ends_by_regex([text], pattern)


@patterns
def test_a_cut_changes_no_word(pattern: str) -> None:
    rng = random.Random(2)
    for _ in range(3000):
        text = tricky_text(rng) + rng.choice(["", " ", "中\n国", "a\nb"]) + tricky_text(rng)
        data = text.encode()
        ends = set(ends_by_regex([text], pattern))
        for cut in (
            next_cut(data, rng.randrange(1, len(data))),
            len(text[: last_cut(text)].encode()),
        ):
            parts = [data[:cut].decode(), data[cut:].decode()]
            words = [word for part in parts for word in regex.findall(PATTERNS[pattern], part)]
            assert words == regex.findall(PATTERNS[pattern], text), (text, cut)
            assert cut in ends | {0}


def test_cuts_are_found() -> None:
    assert next_cut(b"ab cd ef", 3) == 5
    assert next_cut(b"ab\ncd", 1) == 3
    assert next_cut("中文\n中文".encode(), 1) == 7
    assert next_cut(b"a\xffb", 1) == 1
    assert next_cut(b"a  \n b", 1) == 1
    assert next_cut(b"a", 5) == 1
    assert [last_cut(text) for text in ("ab cd  ", "ab\ncd", "a\n\nb", "  ", "")] == [5, 3, 0, 0, 0]


@either_way
@pytest.mark.parametrize("pattern", [*PATTERNS, r"\w+|[^\w\s]+|\s+"])
class TestEncoding:
    def tokenizer(self, pattern: str) -> BPETokenizer:
        # With merges of the byte 0, which is also what short words are padded with.
        training = [SAMPLE, *NASTY_TEXTS, TRICKY * 3, "!\0" * 40, "\0!" * 40]
        return BPETokenizer.train(training, 420, special_tokens=NAMES, pattern=pattern)

    def test_ids_are_those_of_the_readable_way(self, pattern: str, with_core: bool) -> None:
        rng = random.Random(3)
        with use(with_core):
            tokenizer = self.tokenizer(pattern)
            joints = [*NASTY_TEXTS, SAMPLE, *NAMES, "x" * 70, "ab" * 40, "é" * 300, "1" * 14]
            for _ in range(300):
                text = "".join(rng.choice([tricky_text(rng), *joints]) for _ in range(4))
                for allowed in ("all", "none", {"<|x|>"}):
                    ids = PatternTokenizer.encode(tokenizer, text, allowed_special=allowed)
                    array = tokenizer.encode_array(text, allowed_special=allowed)
                    assert array.tolist() == ids
                    assert array.dtype == np.uint16
                    assert tokenizer.encode(text, allowed_special=allowed) == ids
                    assert tokenizer.decode(array) == tokenizer.decode(ids) == text

    @given(pieces=st.lists(texts, max_size=6))
    def test_streams(self, pattern: str, with_core: bool, pieces: list[str]) -> None:
        with use(with_core), mock.patch.object(fast_encoding, "_STREAM_CHARS", 8):
            tokenizer = TOKENIZERS[pattern, with_core]
            expected = PatternTokenizer.encode(tokenizer, "".join(pieces))
            assert list(tokenizer.encode_iterable(pieces)) == expected

    def test_blocks_are_put_together(self, pattern: str, with_core: bool) -> None:
        rng = random.Random(4)
        text = "".join(rng.choice([SAMPLE, *NASTY_TEXTS, *NAMES]) for _ in range(200))
        with use(with_core), mock.patch.object(fast_encoding, "BLOCK_BYTES", 100):
            tokenizer = TOKENIZERS[pattern, with_core]
            assert tokenizer.encode(text) == PatternTokenizer.encode(tokenizer, text)

    def test_few_words_are_remembered(self, pattern: str, with_core: bool) -> None:
        with use(with_core), mock.patch.object(fast_encoding, "MOST_WORDS", 100):
            tokenizer = self.tokenizer(pattern)
            encoder = tokenizer._fast_encoder
            for start in range(0, 5000, 50):
                numbers = range(start, start + 50)
                text = " ".join(f"n{number} {number:030}" for number in numbers) + "y" * 5000
                assert tokenizer.encode_array(text).tolist() == PatternTokenizer.encode(
                    tokenizer, text
                )
                assert encoder.n_kept() < 100 + 400
            encoder.forget()
            assert encoder.n_kept() == 0
            assert tokenizer.decode(tokenizer.encode_array(SAMPLE)) == SAMPLE


TOKENIZERS: dict[tuple[str, bool], BPETokenizer] = {}
for _with_core in {False, HAVE_CORE}:
    for _pattern in [*PATTERNS, r"\w+|[^\w\s]+|\s+"]:
        with use(_with_core):
            TOKENIZERS[_pattern, _with_core] = TestEncoding().tokenizer(_pattern)
            TOKENIZERS[_pattern, _with_core]._fast_encoder.n_kept()  # built while it is chosen


def test_long_words_that_are_not_packed_do_not_pile_up() -> None:
    with use(False), mock.patch.object(vector_encoding, "_MAX_LONG_BYTES", 10_000):
        tokenizer = BPETokenizer.train([SAMPLE], 300)
        for letter in "abcdefgh":
            tokenizer.encode_array(letter * 6000)
            words = tokenizer._fast_encoder._words._recent.words  # type: ignore[union-attr]
            assert sum(map(len, words._long_words)) <= 12_000


def test_larger_vocabularies_give_uint32() -> None:
    vocab = {i: bytes([i]) for i in range(256)}
    vocab |= {i: f"token{i}".encode() for i in range(256, 1 << 16)}
    assert BPETokenizer(vocab, [], {}).encode_array("a").dtype == np.uint16
    assert BPETokenizer(vocab, [], {"<|x|>": 1 << 16}).encode_array("<|x|>").dtype == np.uint32
    assert CharTokenizer.train(["abc"]).encode_array("cab").tolist() == [2, 0, 1]


@either_way
def test_decoding(with_core: bool) -> None:
    rng = np.random.default_rng(5)
    with use(with_core), mock.patch.object(fast_decoding, "_BLOCK_IDS", 1000):
        tokenizer = TOKENIZERS["gpt2", with_core]
        for size in (0, 1, 5, 100, 3000):
            ids = rng.integers(0, tokenizer.vocab_size, size)
            expected = b"".join(tokenizer.vocab[i] for i in ids.tolist())
            for form in (ids, ids.tolist(), iter(ids.tolist()), tuple(ids), ids.astype(np.uint16)):
                assert tokenizer.decode_bytes(form) == expected
        for bad in (-1, -2, tokenizer.vocab_size, 1 << 70, "a", None, 1.5, [1]):
            for n in (1, 100):
                with pytest.raises(TokenizerError, match="unknown token id"):
                    tokenizer.decode([0] * n + [bad])
        with pytest.raises(TokenizerError, match="unknown token id -1"):
            tokenizer.decode(np.array([3, -1] * 50))
        with pytest.raises(TokenizerError, match="unknown token id 18446744073709551614"):
            tokenizer.decode(np.array([(1 << 64) - 2] * 100, np.uint64))


@either_way
@pytest.mark.parametrize("ties", TIES)
def test_merges_are_those_of_the_readable_way(ties: Ties, with_core: bool) -> None:
    rng = random.Random(6)
    with use(with_core):
        for _ in range(300):
            alphabet = rng.choice([b"a", b"ab", b"abc", b"abcdefgh", bytes(range(256))])
            size = rng.choice([3, 12, 60])
            words = {bytes(rng.choices(alphabet, k=rng.randint(1, size))) for _ in range(12)}
            counts = {word: rng.randint(1, 4) for word in words}
            fewest = rng.choice([1, 2, 5])
            merges = learn_merges_fast(WordCounts.of(counts), 60, min_frequency=fewest, ties=ties)
            assert merges == learn_merges(counts, 60, min_frequency=fewest, ties=ties)


@either_way
@patterns
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_counts_are_those_of_the_readable_way(
    pattern: str, with_core: bool, workers: int, tmp_path: Path
) -> None:
    rng = random.Random(7)
    splitter = Splitter(pattern, NAMES)
    parts = [rng.choice([*NASTY_TEXTS, SAMPLE, *NAMES, tricky_text(rng)]) for _ in range(300)]
    path = tmp_path / "text.txt"
    path.write_text("".join(parts), encoding="utf-8", newline="")
    with use(with_core), mock.patch.object(fast_counting, "_BATCH_CHARS", 300):
        for source in (path, [path, path], parts):
            readable = count_words(source, splitter)
            expected = Counter({word.encode(): count for word, count in readable.items()})
            assert count_word_bytes(source, splitter, workers=workers).as_dict() == expected


def test_special_tokens_with_blanks_are_counted_too() -> None:
    splitter = Splitter("gpt2", ["<a b>"])
    counts = count_word_bytes(["x<a b>y a b"], splitter, workers=1).as_dict()
    assert counts == {b"x": 1, b"y": 1, b" a": 1, b" b": 1}


WORST = {
    "one letter": "a" * 100_000,
    "letters": "".join(random.Random(9).choices("abcdefgh", k=100_000)),
    "emoji": "".join(random.Random(9).choices("🙂😀🎉👍", k=25_000)),
    "blanks": " " * 100_000,
    "newlines": "\n" * 100_000,
    "apostrophes": "'" * 100_000,
}


@either_way
@pytest.mark.parametrize("text", WORST.values(), ids=WORST)
def test_words_without_end(text: str, with_core: bool) -> None:
    with use(with_core):
        tokenizer = BPETokenizer.train([text], 300)
        ids = tokenizer.encode(text)
        assert ids == PatternTokenizer.encode(tokenizer, text)
        assert tokenizer.decode(ids) == text
