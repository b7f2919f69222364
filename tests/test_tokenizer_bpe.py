"""Byte-level BPE: the same merges and ids as the plain definition, and the text back, always."""

from __future__ import annotations

import doctest
import json
import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_cases import FIXTURES, NASTY_TEXTS, SAMPLE, data_file, either_way, texts, use

from llm_explainer.data import sliding_windows
from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable import naive
from llm_explainer.tokenizer.readable.byte_alphabet import from_text
from llm_explainer.tokenizer.readable.merging import LONG_WORD, merge_word
from llm_explainer.tokenizer.readable.patterns import PATTERNS
from llm_explainer.tokenizer.readable.splitting import Splitter
from llm_explainer.tokenizer.readable.training import Chains, learn_merges

GOLDEN = json.loads((FIXTURES / "tokenizer_golden.json").read_text(encoding="utf-8"))
TOKENIZERS = {
    pattern: BPETokenizer.train(
        [SAMPLE], 400, pattern=pattern, special_tokens=["<|endoftext|>", "<|x|>"]
    )
    for pattern in ("gpt2", "gpt4", r"[\p{L}\d]+|[^\p{L}\d\s]+|\s+")
}


def random_word_counts(rng: random.Random) -> dict[bytes, int]:
    alphabet = rng.choice([b"a", b"ab", b"abc", b"abcdefgh", bytes(range(256))])
    words = {bytes(rng.choices(alphabet, k=rng.randint(1, 12))) for _ in range(rng.randint(1, 12))}
    return {word: rng.randint(1, 4) for word in words}


def every_word(word_counts: dict[bytes, int]) -> list[bytes]:
    return [word for word, count in word_counts.items() for _ in range(count)]


def learned_tokens(word_counts: dict[bytes, int], n_merges: int) -> list[tuple[bytes, bytes]]:
    merges = learn_merges(word_counts, n_merges, min_frequency=1)
    return [(naive.decode([left], merges), naive.decode([right], merges)) for left, right in merges]


@pytest.mark.parametrize("seed", range(200))
def test_training_equals_counting_everything_anew(seed: int) -> None:
    rng = random.Random(seed)
    word_counts, fewest = random_word_counts(rng), rng.choice([1, 1, 2, 5])
    expected = naive.train(every_word(word_counts), 40, fewest)
    assert learn_merges(word_counts, 40, min_frequency=fewest) == expected


@either_way
@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_the_naive_way_equals_all_the_others(pattern: str, with_core: bool) -> None:
    text = SAMPLE + " ".join(NASTY_TEXTS)
    splitter = Splitter(pattern)
    words = [word.encode() for word in splitter.words(text)]
    merges = naive.train(words, 60)
    with use(with_core):
        tokenizer = BPETokenizer.train([text], 256 + 60, pattern=pattern, special_tokens=[])
        ids = [token_id for word in words for token_id in naive.encode(word, merges)]
        assert [(a, b) for a, b in tokenizer.merges] == [
            (naive.decode([left], merges), naive.decode([right], merges)) for left, right in merges
        ]
        assert tokenizer.encode(text) == tokenizer.encode_array(text).tolist() == ids
        assert list(tokenizer.encode_iterable([text])) == ids
        assert PatternTokenizer.encode(tokenizer, text) == ids
        assert naive.decode(ids, merges) == tokenizer.decode_bytes(ids) == text.encode()


def test_the_examples_of_the_naive_way() -> None:
    assert doctest.testmod(naive).attempted == 4
    assert not doctest.testmod(naive).failed


def test_a_merge_leaves_exact_counts() -> None:
    rng = random.Random(7)
    for _ in range(50):
        word_counts = random_word_counts(rng)
        merges = naive.train(every_word(word_counts), 8, 1)
        chains = Chains(word_counts)
        for new, pair in enumerate(merges, 256):
            chains.merge(pair, new)
        expected: dict[tuple[int, int], int] = {}
        for word, count in word_counts.items():
            for pair in pairwise(naive.encode(word, merges)):
                expected[pair] = expected.get(pair, 0) + count
        assert {pair: count for pair, count in chains.counts.items() if count} == expected


def test_the_example_of_wikipedia() -> None:
    # aa occurs four times; then Zab: of the pairs that occur twice, the greatest comes first.
    merges = learn_merges({b"aaabdaaabac": 1}, 3, min_frequency=1)
    assert merges == naive.train([b"aaabdaaabac"], 3)
    assert learned_tokens({b"aaabdaaabac": 1}, 1) == [(b"a", b"a")]
    tokens = [naive.decode([i], merges) for i in naive.encode(b"aaabdaaabac", merges)]
    assert tokens == [b"aaab", b"d", b"aaab", b"a", b"c"]


def test_ties_go_to_the_greatest_pair_of_byte_strings() -> None:
    assert learned_tokens({b"ab": 2, b"cd": 2}, 1) == [(b"c", b"d")]
    assert learned_tokens({b"ab": 2, b"ac": 2}, 1) == [(b"a", b"c")]
    # ("ab", "a") is greater than ("a", "z"): what a token begins with comes before it.
    assert learned_tokens({b"ab": 9, b"aba": 2, b"az": 2}, 2)[1] == (b"ab", b"a")


@pytest.mark.parametrize("pattern", ["gpt2", "gpt4"])
def test_merges_equal_those_of_hf_tokenizers_and_rustbpe(pattern: str) -> None:
    def train(ties: str) -> BPETokenizer:
        return BPETokenizer.train(
            [GOLDEN["text"]],
            GOLDEN["vocab_size"],
            pattern=pattern,
            special_tokens=[],
            min_frequency=1,
            ties=ties,
        )

    hf = [(from_text(left), from_text(right)) for left, right in GOLDEN["hf_merges"][pattern]]
    rustbpe = [bytes.fromhex(token) for token in GOLDEN["rustbpe_tokens"][pattern]]
    assert train("lower-ids-hf").merges == hf
    assert [left + right for left, right in train("lower-ids").merges] == rustbpe
    assert train("greatest-bytes").merges != hf


def test_min_frequency_and_vocab_size_bound_the_merges() -> None:
    assert learn_merges({b"ab": 2, b"cd": 1}, 10, min_frequency=2) == [(97, 98)]
    assert learn_merges({b"ab": 2, b"cd": 1}, 1, min_frequency=1) == [(97, 98)]
    tokenizer = BPETokenizer.train(["ab ab"], 1000)
    assert tokenizer.merges == [(b"a", b"b")]
    assert tokenizer.vocab_size == 258


def test_ids_are_bytes_then_merges_then_special_tokens() -> None:
    tokenizer = BPETokenizer.train(["the the the"], 300, special_tokens=["<|b|>", "<|a|>"])
    merges = [left + right for left, right in tokenizer.merges]
    assert [tokenizer.vocab[i] for i in range(256)] == [bytes([i]) for i in range(256)]
    assert [tokenizer.vocab[256 + i] for i in range(len(merges))] == merges
    assert tokenizer.special_tokens == {"<|b|>": 256 + len(merges), "<|a|>": 257 + len(merges)}
    assert tokenizer.vocab_size == len(tokenizer.vocab) == 258 + len(merges)
    assert tokenizer.end_of_text is None


def test_merges_do_not_cross_special_tokens() -> None:
    tokenizer = BPETokenizer.train(["a<|endoftext|>b<|endoftext|>" * 9], 300)
    assert tokenizer.merges == []
    assert tokenizer.encode("a<|endoftext|>b") == [97, 256, 98]
    assert tokenizer.end_of_text == 256


@given(words=st.lists(st.text("ab", min_size=1, max_size=9), min_size=1), text=st.text("ab"))
def test_encoding_applies_the_merges_in_the_order_of_learning(words: list[str], text: str) -> None:
    tokenizer = BPETokenizer.train(words, 290, min_frequency=1)
    merges = naive.train([word.encode() for word in words], 290 - 257, 1)
    assert tokenizer.encode(text) == naive.encode(text.encode(), merges)


@given(word=st.text("ab", min_size=LONG_WORD, max_size=3 * LONG_WORD), seed=st.integers(0, 99))
def test_long_words_are_merged_as_short_ones(word: str, seed: int) -> None:
    rng = random.Random(seed)
    training = "".join(rng.choices("ab", k=200))
    tokenizer = BPETokenizer.train([training], 290, min_frequency=1)
    merges = naive.train([training.encode()], 290 - 257, 1)
    assert tokenizer.encode(word) == naive.encode(word.encode(), merges)


def test_merge_word_leaves_its_argument_alone() -> None:
    for ids in ([116, 104, 101], [97] * LONG_WORD):
        before = list(ids)
        merge_word(ids, {(116, 104): 0, (97, 97): 1}, [256, 257])
        assert ids == before


@pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=["gpt2", "gpt4", "own"])
class TestRoundTrip:
    @given(text=texts)
    def test_any_text(self, tokenizer: BPETokenizer, text: str) -> None:
        for allowed in ("all", "none"):
            ids = tokenizer.encode(text, allowed_special=allowed)
            assert tokenizer.decode(ids) == text

    @pytest.mark.parametrize("text", NASTY_TEXTS)
    def test_nasty_texts(self, tokenizer: BPETokenizer, text: str) -> None:
        assert tokenizer.decode(tokenizer.encode(text)) == text
        assert tokenizer.decode_bytes(tokenizer.encode_ordinary(text)) == text.encode()

    @given(data=st.data())
    def test_any_ids_decode_and_stream_alike(
        self, tokenizer: BPETokenizer, data: st.DataObject
    ) -> None:
        ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
        decoder = tokenizer.stream_decoder()
        pieces = [decoder.push(token) for token in ids]
        assert "".join(pieces) + decoder.finish() == tokenizer.decode(ids)

    @given(text=texts)
    def test_a_stream_never_holds_half_a_character(
        self, tokenizer: BPETokenizer, text: str
    ) -> None:
        decoder, received = tokenizer.stream_decoder(), ""
        for token in tokenizer.encode(text):
            received += decoder.push(token)
            assert text.startswith(received)
        assert received == text
        assert decoder.finish() == ""


def test_a_stream_that_ends_inside_a_character_says_so_and_starts_anew() -> None:
    tokenizer = TOKENIZERS["gpt2"]
    decoder = tokenizer.stream_decoder()
    assert decoder.push(0xF0) == ""
    assert decoder.push(0x9F) == ""
    assert decoder.finish() == "\ufffd"
    assert decoder.push(ord("a")) == "a"


def test_special_tokens_are_special_only_where_allowed() -> None:
    tokenizer = TOKENIZERS["gpt2"]
    end, x = tokenizer.special_tokens["<|endoftext|>"], tokenizer.special_tokens["<|x|>"]
    text = "<|x|><|endoftext|>"
    assert tokenizer.encode(text) == [x, end]
    assert tokenizer.encode(text, allowed_special={"<|x|>"})[0] == x
    assert end not in tokenizer.encode(text, allowed_special={"<|x|>"})
    assert not {x, end} & set(tokenizer.encode_ordinary(text))
    assert tokenizer.encode(text, allowed_special="none") == tokenizer.encode_ordinary(text)


def test_of_overlapping_special_tokens_the_longest_is_taken() -> None:
    names = ["<|a|>", "<|a|><|b|>", "<|b|>"]
    tokenizer = BPETokenizer.train(["hello"], 300, special_tokens=names)
    a, both, b = (tokenizer.special_tokens[name] for name in names)
    assert tokenizer.encode("<|a|><|b|><|a|><|a|><|b|>") == [both, a, both]
    assert tokenizer.encode("<|b|><|a|>") == [b, a]
    pieces = "<|a|><|b|><|a|><|a|><|b|>"
    assert list(tokenizer.encode_iterable(pieces)) == [both, a, both]


def test_decoding_takes_numpy_ids() -> None:
    tokenizer = TOKENIZERS["gpt2"]
    ids = tokenizer.encode(SAMPLE)
    assert tokenizer.decode(np.array(ids, np.uint16)) == SAMPLE


def test_bytes_that_are_no_utf8_are_replaced_or_refused() -> None:
    tokenizer = TOKENIZERS["gpt2"]
    data = "né 🙂".encode()
    assert tokenizer.decode(list(data), errors="strict") == "né 🙂"
    for broken, offset in [(data[:-1], 4), (b"ab\xff\xc3!", 2)]:
        ids = list(broken)  # the first 256 ids are the bytes
        assert tokenizer.decode(ids) == broken.decode(errors="replace")
        with pytest.raises(TokenizerError, match=f"byte {broken[offset]:#04x} at offset {offset};"):
            tokenizer.decode(ids, errors="strict")
        assert tokenizer.decode_bytes(ids) == broken


def test_figures_of_the_verdict_with_gpt2s_vocabulary() -> None:
    tokenizer = BPETokenizer.from_gpt2(data_file("gpt2_vocab.json"), data_file("gpt2_merges.txt"))
    text = data_file("the-verdict.txt").read_text(encoding="utf-8")
    ids = tokenizer.encode(text)
    assert (tokenizer.vocab_size, tokenizer.end_of_text) == (50257, 50256)
    assert len(ids) == 5145
    inputs, targets = sliding_windows(np.array(ids, np.uint16), 4, 4)
    assert inputs[0].tolist() == [40, 367, 2885, 1464]
    assert targets[0].tolist() == [367, 2885, 1464, 1807]
    assert tokenizer.decode(ids) == text
    sentence = "Hello, this is a test sentence{}. <|endoftext|> It's the last he painted, you know,"
    begin, stop = [15496, 11, 428, 318, 257, 1332, 6827], [13, 220, 50256]
    rest = [632, 338, 262, 938, 339, 13055, 11, 345, 760, 11]
    assert tokenizer.encode(sentence.format("")) == begin + stop + rest
    palace = [422, 262, 280, 1010, 10223]
    assert tokenizer.encode(sentence.format(" from theouterspace")) == begin + palace + stop + rest


def test_ids_equal_tiktokens_where_it_is_installed() -> None:
    tiktoken = pytest.importorskip("tiktoken")
    vocab = data_file("gpt2_vocab.json")
    tokenizer = BPETokenizer.from_gpt2(vocab, data_file("gpt2_merges.txt"))
    ranks = {token: i for i, token in tokenizer.vocab.items() if i != tokenizer.end_of_text}
    peer = tiktoken.Encoding(
        "gpt2-local",
        pat_str=PATTERNS["gpt2"],
        mergeable_ranks=ranks,
        special_tokens=tokenizer.special_tokens,
    )
    rng = random.Random(3)
    for text in [SAMPLE, *NASTY_TEXTS, *("".join(rng.choices(SAMPLE, k=50)) for _ in range(500))]:
        assert tokenizer.encode(text) == peer.encode(text, allowed_special="all")
