"""Rank files of tiktoken, and files whose whole words are not merged: the ids that others give."""

from __future__ import annotations

import base64
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizer_cases import NASTY_TEXTS, SAMPLE, data_file, either_way

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer, core
from llm_explainer.tokenizer.files.tiktoken_files import parts_of
from llm_explainer.tokenizer.readable.patterns import PATTERNS

TRAINED = BPETokenizer.train([SAMPLE, *NASTY_TEXTS], 380, pattern="gpt4", special_tokens=[])
RANKS = {token: token_id for token_id, token in TRAINED.vocab.items()}
BYTES = {bytes([byte]): byte for byte in range(256)}


def rank_file(ranks: dict[bytes, int]) -> bytes:
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    return b"".join(lines)


def tiktoken_ids(word: bytes, ranks: dict[bytes, int]) -> list[int]:
    """Encode a word by tiktoken's rule: what is a token stays, else the lowest rank is joined."""
    if word in ranks:
        return [ranks[word]]
    parts = [word[i : i + 1] for i in range(len(word))]
    while True:
        known = [
            (ranks[parts[i] + parts[i + 1]], i)
            for i in range(len(parts) - 1)
            if parts[i] + parts[i + 1] in ranks
        ]
        if not known:
            return [ranks[part] for part in parts]
        _, i = min(known)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]


def load(ranks: dict[bytes, int], path: Path, pattern: str = r"[\s\S]+") -> BPETokenizer:
    path.write_bytes(rank_file(ranks))
    return BPETokenizer.from_tiktoken(path, pattern=pattern)


def test_merges_are_recovered(tmp_path: Path) -> None:
    tokenizer = load(RANKS, tmp_path / "a.tiktoken", "gpt4")
    assert tokenizer.merges == TRAINED.merges
    assert not tokenizer.ignore_merges
    assert tokenizer.special_tokens == {"<|endoftext|>": 380}
    for text in [SAMPLE, *NASTY_TEXTS]:
        assert tokenizer.encode_ordinary(text) == TRAINED.encode(text)
        assert tokenizer.decode(tokenizer.encode(text)) == text


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_ranks_give_tiktokens_ids(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Ranks that no training would give: tokens that nothing makes, or that lower ranks would hide.
    tokens = data.draw(
        st.lists(st.text("ab ", min_size=2, max_size=6).map(str.encode), max_size=15, unique=True)
    )
    ranks = BYTES | {token: 256 + rank for rank, token in enumerate(tokens)}
    path = tmp_path_factory.mktemp("ranks") / "a.tiktoken"
    tokenizer = load(ranks, path)
    tokenizer.save(path)
    for word in data.draw(st.lists(st.text("ab ", min_size=1, max_size=14), max_size=5)):
        expected = tiktoken_ids(word.encode(), ranks)
        assert tokenizer.encode(word) == expected
        assert tokenizer.encode_array(word).tolist() == expected
        assert BPETokenizer.load(path).encode(word) == expected


def test_the_parts_of_a_token() -> None:
    assert parts_of(b"abc", {b"ab": 1, b"abc": 2, b"bc": 3}) == (b"ab", b"c")
    assert parts_of(b"abc", {b"ab": 3, b"abc": 2, b"bc": 1}) == (b"a", b"bc")
    assert parts_of(b"abc", {b"abc": 2}) == (b"a", b"b", b"c")


@either_way
def test_whole_words_that_merging_does_not_make(
    with_core: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "core_in_use", lambda: with_core)
    long, longer = b" " + b"x" * 40, b" " + b"z" * 300
    words = {256: b" abc", 257: b"abc", 258: long, 259: longer, 260: b"ab"}
    vocab = {byte: bytes([byte]) for byte in range(256)} | words
    merges = [(b"a", b"b")]
    text = f"abc abc abcd{long.decode()} ab{longer.decode()} ab abc"
    whole = BPETokenizer(vocab, merges, {}, ignore_merges=True)
    expected = [257, 256, 32, 260, 99, 100, 258, 32, 260, 259, 32, 260, 256]
    assert whole.encode_array(text).tolist() == whole.encode(text) == expected
    assert list(whole.encode_iterable([text])) == expected
    assert whole.decode(expected) == text
    assert 256 not in BPETokenizer(vocab, merges, {}).encode_array(text)


def test_ids_equal_tiktokens_on_gpt2s_ranks(tmp_path: Path) -> None:
    tiktoken = pytest.importorskip("tiktoken")
    gpt2 = BPETokenizer.from_gpt2(data_file("gpt2_vocab.json"), data_file("gpt2_merges.txt"))
    ranks = {token: i for i, token in gpt2.vocab.items() if i != gpt2.end_of_text}
    tokenizer = load(ranks, tmp_path / "gpt2.tiktoken", "gpt2")
    assert tokenizer.merges == gpt2.merges
    assert tokenizer.vocab == gpt2.vocab
    peer = tiktoken.Encoding(
        "local",
        pat_str=PATTERNS["gpt2"],
        mergeable_ranks=ranks,
        special_tokens=tokenizer.special_tokens,
    )
    rng = random.Random(3)
    for text in [SAMPLE, *NASTY_TEXTS, *("".join(rng.choices(SAMPLE, k=50)) for _ in range(500))]:
        assert tokenizer.encode(text) == peer.encode(text, allowed_special="all")


def test_hugging_face_gives_the_same_ids_to_whole_words(tmp_path: Path) -> None:
    peers = pytest.importorskip("tokenizers")
    ranks = RANKS | {b" zqx": 380, b"zqxy": 381, " naïve".encode() + b"zz": 382}
    tokenizer = load(ranks, tmp_path / "a.tiktoken", "gpt4")  # as Llama 3's file is made
    assert tokenizer.ignore_merges
    tokenizer.save(tmp_path / "tokenizer.json")
    peer = peers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    rng = random.Random(4)
    words = [" zqx", "zqxy", " naïvezz", "zqxyz", " zqxy", *NASTY_TEXTS, SAMPLE[:40]]
    for _ in range(300):
        text = "".join(rng.choices(words, k=5))
        assert tokenizer.encode(text) == peer.encode(text).ids


DAMAGED = {
    "empty": (b"", "is empty; a line for each token is expected"),
    "text": (b"hello there you", "line 1 is 'hello there you'; a token in base64"),
    "not base64": (b"YQ== 0\n!! 1\n", "line 2 is '!! 1'"),
    "no rank": (b"YQ==\n", "line 1 is 'YQ=='"),
    "a negative rank": (b"YQ== -1\n", "line 1 is"),
    "a rank of text": (b"YQ== x\n", "line 1 is"),
    "no token": (b" 0\n", "line 1 is ' 0'"),
    "twice": (rank_file(RANKS) + b"YQ== 900\n", "line 381: token b'a' is there twice"),
    "a rank twice": (rank_file(RANKS | {b"zq": 97}), "line 381: rank 97 is there twice"),
    "cut off": (rank_file(RANKS)[:1000], "line .* is '|byte 0x.. has no id"),
    "not UTF-8": (b"\xff\xfe", "is not UTF-8"),
    "a byte missing": (rank_file({b"b": 0}), "byte 0x00 has no id"),
}


@pytest.mark.parametrize(("content", "message"), DAMAGED.values(), ids=DAMAGED)
def test_damage_is_refused_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tiktoken"
    path.write_bytes(content)
    with pytest.raises(TokenizerError, match=message) as error:
        BPETokenizer.from_tiktoken(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("special_tokens", "message"),
    [
        ({"<|x|>": 5}, "id 5 is there twice"),
        ({"<|x|>": -1}, "id -1 is none"),
        ({"<|x|>": "500"}, "the id of '<|x|>' is '500'; a whole number"),
        ({"": 500}, "special token '' is not a name"),
        (["<|x|>", "<|x|>"], "is given twice"),
        ("<|x|>", "they come as a list"),
    ],
)
def test_special_tokens_that_cannot_be(
    special_tokens: object, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.tiktoken"
    path.write_bytes(rank_file(RANKS))
    with pytest.raises(TokenizerError, match=message.replace("|", r"\|")):
        BPETokenizer.from_tiktoken(path, special_tokens=special_tokens)  # type: ignore[arg-type]
    named = BPETokenizer.from_tiktoken(path, special_tokens={"<|b|>": 381, "<|a|>": 380})
    assert named.encode("<|a|><|b|>") == [380, 381]
