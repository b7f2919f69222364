"""The fast tokenizer, compiled or with NumPy alone, gives what the readable one gives."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizer_cases import (
    HAVE_CORE,
    NASTY_TEXTS,
    SAMPLE,
    TRICKY,
    either_way,
    texts,
    tricky_text,
    use,
)

from llm_explainer import text_files
from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer
from llm_explainer.tokenizer.fast import (
    blocks,
    choice,
    counting,
    decoding,
    encoding,
    numpy_encoding,
)
from llm_explainer.tokenizer.fast.choice import word_ends
from llm_explainer.tokenizer.fast.counting import count_word_bytes
from llm_explainer.tokenizer.fast.word_counts import WordCounts
from llm_explainer.tokenizer.files.training_texts import read_texts
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable.counting import count_words
from llm_explainer.tokenizer.readable.cuts import last_cut
from llm_explainer.tokenizer.readable.patterns import PATTERNS
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.training import Ties, learn_merges

patterns = pytest.mark.parametrize("pattern", PATTERNS)
TIES: list[Ties] = ["greatest-bytes", "lower-ids", "lower-ids-hf"]
NAMES = ["<|endoftext|>", "<|x|>", "<|x|><|x|>"]


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


@either_way
@pytest.mark.parametrize("pattern", [*PATTERNS, r"[\p{L}\d]+|[^\p{L}\d\s]+|\s+"])
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
        with use(with_core), mock.patch.object(encoding, "_STREAM_CHARS", 8):
            tokenizer = TOKENIZERS[pattern, with_core]
            expected = PatternTokenizer.encode(tokenizer, "".join(pieces))
            assert list(tokenizer.encode_iterable(pieces)) == expected

    def test_blocks_are_put_together(self, pattern: str, with_core: bool) -> None:
        rng = random.Random(4)
        text = "".join(rng.choice([SAMPLE, *NASTY_TEXTS, *NAMES]) for _ in range(200))
        with use(with_core), mock.patch.object(blocks, "BLOCK_BYTES", 100):
            tokenizer = TOKENIZERS[pattern, with_core]
            assert tokenizer.encode(text) == PatternTokenizer.encode(tokenizer, text)

    def test_few_words_are_remembered(self, pattern: str, with_core: bool) -> None:
        with use(with_core), mock.patch.object(encoding, "MOST_WORDS", 100):
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
    for _pattern in [*PATTERNS, r"[\p{L}\d]+|[^\p{L}\d\s]+|\s+"]:
        with use(_with_core):
            TOKENIZERS[_pattern, _with_core] = TestEncoding().tokenizer(_pattern)
            TOKENIZERS[_pattern, _with_core]._fast_encoder.n_kept()  # built while it is chosen


def test_long_words_that_are_not_packed_do_not_pile_up() -> None:
    with use(False), mock.patch.object(numpy_encoding, "_MAX_LONG_BYTES", 10_000):
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
    with use(with_core), mock.patch.object(decoding, "_BLOCK_IDS", 1000):
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
            merges = choice.learn_merges(WordCounts.of(counts), 60, min_frequency=fewest, ties=ties)
            assert merges == learn_merges(counts, 60, min_frequency=fewest, ties=ties)


@either_way
@patterns
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_counts_are_those_of_the_readable_way(
    pattern: str, with_core: bool, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(7)
    splitter = Splitter(pattern, NAMES)
    joints = [*NAMES, "   ", "\n  ", "  \n x", "\u3000 y", "a" * 600]
    parts = [rng.choice([*NASTY_TEXTS, SAMPLE, *joints, tricky_text(rng)]) for _ in range(300)]
    path = tmp_path / "text.txt"
    path.write_text("".join(parts), encoding="utf-8", newline="")
    monkeypatch.setattr(counting, "_JOB_CHARS", 300)
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 101)
    with use(with_core):
        for source in (path, [path, path], parts):
            readable = count_words(read_texts(source), splitter)
            expected = Counter({word.encode(): count for word, count in readable.items()})
            counted = count_word_bytes(read_texts(source), splitter, workers=workers)
            assert counted.as_dict() == expected


def test_workers_get_jobs_of_bounded_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "_JOB_CHARS", 100)
    texts_ = [["ab "], ["a b " * 10] * 50, *[["c"]] * 500]
    sizes, jobs = zip(*counting._jobs(texts_, Splitter("gpt2")), strict=True)
    assert b"".join(jobs).replace(b"\xff", b"").decode() == "".join(map("".join, texts_))
    assert max(map(len, jobs)) < 200 + 100  # with a byte between texts of one character
    assert list(sizes) == [len(job.replace(b"\xff", b"")) for job in jobs]


@pytest.mark.parametrize("letter", ["z", " ", "\n"])
def test_a_text_without_cuts_is_searched_a_bounded_number_of_times(
    letter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_searched = 0

    def counted(text: str) -> int:
        nonlocal n_searched
        n_searched += len(text)
        return last_cut(text)

    monkeypatch.setattr(counting, "last_cut", counted)
    monkeypatch.setattr(counting, "_JOB_CHARS", 100)
    job, *_ = counting._jobs([[letter * 100] * 100], Splitter("gpt2"))
    assert job == (10_000, letter.encode() * 10_000)
    assert n_searched < 2 * 10_000


@pytest.mark.parametrize("name", ["<a b>", "<a,b>", "<a\nb>"])
def test_special_tokens_that_a_cut_could_go_through(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counting, "_JOB_CHARS", 4)
    monkeypatch.setattr(encoding, "_STREAM_CHARS", 4)
    blocks_ = [f"x{name}", "y a b"]
    counts = count_word_bytes([blocks_], Splitter("gpt2", [name]), workers=1).as_dict()
    assert counts == {b"x": 1, b"y": 1, b" a": 1, b" b": 1}
    tokenizer = BPETokenizer.train([SAMPLE], 270, special_tokens=[name])
    assert list(tokenizer.encode_iterable(blocks_)) == tokenizer.encode("".join(blocks_))


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
