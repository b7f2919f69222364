"""Bad input: one line that names what was wrong; never another exception, never half a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
from tokenizer_cases import SAMPLE, one_of_each_kind

from llm_explainer import text_files
from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer, WordTokenizer
from llm_explainer.tokenizer.files.training_texts import read_texts
from llm_explainer.tokenizer.readable.counting import count_words
from llm_explainer.tokenizer.readable.splitting import Splitter

KINDS = one_of_each_kind()
BPE = KINDS["bpe"]
train = BPETokenizer.train

CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "no room for the bytes": (
        lambda: train([SAMPLE], 256),
        r"vocab_size is 256; .* of 257 or more \(256 bytes \+ 1 special\)",
    ),
    "a vocabulary of text": (lambda: train([SAMPLE], "300"), "vocab_size is '300'"),
    "no frequency": (lambda: train([SAMPLE], 300, min_frequency=0), "min_frequency is 0"),
    "no workers": (lambda: train([SAMPLE], 300, workers=0), "workers is 0"),
    "unknown ties": (lambda: train([SAMPLE], 300, ties="first"), "ties is 'first'; choose one of"),
    "no text": (lambda: train([], 300), "training text is empty"),
    "empty texts": (lambda: train(["", ""], 300), "training text is empty"),
    "only a special token": (lambda: train(["<|endoftext|>"], 300), "training text is empty"),
    "no words": (lambda: WordTokenizer.train([" \n "]), "training text is empty"),
    "no characters": (lambda: CharTokenizer.train([]), "training text is empty"),
    "a number for a text": (lambda: train(5, 300), "training text is 5; it takes a path"),
    "bytes for a text": (lambda: train(b"abc", 300), "it takes a path"),
    "bytes among texts": (
        lambda: train([b"abc"], 300),
        r"text is expected \(str\), received bytes",
    ),
    "a missing file": (lambda: train("no/such.txt", 300), "cannot read 'no/such.txt': No such"),
    "a text for a path": (
        lambda: train("a text\nin lines", 300),
        r"training text is 'a text.*; a str is a path, and a text comes in a list: \[text\]",
    ),
    "no path at all": (lambda: train("a\0b", 300), "cannot read 'a.*embedded null"),
    "half a pattern": (lambda: train([SAMPLE], 300, pattern="(a"), "pattern .* does not compile"),
    "no pattern": (lambda: train([SAMPLE], 300, pattern=""), "pattern is ''; it takes gpt2, gpt4"),
    "a pattern with gaps": (
        lambda: train(["ab1 c"], 300, pattern="[a-z]+"),
        r"pattern '\[a-z\]\+' leaves out '1'",
    ),
    "one special token as a bare string": (
        lambda: train([SAMPLE], 300, special_tokens="<|x|>"),
        "they come as a list",
    ),
    "a special token twice": (
        lambda: train([SAMPLE], 300, special_tokens=["<|x|>", "<|x|>"]),
        "'<|x|>' is given twice".replace("|", r"\|"),
    ),
    "a special token that UTF-8 cannot hold": (
        lambda: train([SAMPLE], 300, special_tokens=["\udc80"]),
        r"lone surrogate U\+DC80",
    ),
    "an empty special token": (
        lambda: train([SAMPLE], 300, special_tokens=[""]),
        "special token '' is not a name",
    ),
    "a special token that is a byte": (
        lambda: train([SAMPLE], 300, special_tokens=["a"]),
        "special token 'a' is an ordinary token as well",
    ),
    "room for no word": (lambda: WordTokenizer.train([SAMPLE], 2), "2 special [+] 1 word"),
    "a character that is special": (
        lambda: CharTokenizer({0: "a"}, {"a": 1}),
        "token 'a' has two ids",
    ),
    "a token with two ids": (
        lambda: CharTokenizer({0: "a", 1: "a"}, {}),
        "token 'a' has two ids",
    ),
    "bytes with two ids": (
        lambda: BPETokenizer(dict(enumerate([*BPE.vocab.values(), b"a"])), [], {}),
        "token b'a' is empty or has two ids",
    ),
    "an empty token": (
        lambda: BPETokenizer(dict(enumerate([*BPE.vocab.values(), b""])), [], {}),
        "token b'' is empty or has two ids",
    ),
    "bytes to encode": (lambda: BPE.encode(b"abc"), r"text is expected \(str\), received bytes"),
    "a lone surrogate": (
        lambda: BPE.encode("ab\ud83d"),
        r"lone surrogate U\+D83D at character 2",
    ),
    "a lone surrogate in a stream": (
        lambda: list(BPE.encode_iterable(["ab", "\udc00"])),
        r"lone surrogate U\+DC00",
    ),
    "a lone surrogate in training": (lambda: CharTokenizer.train(["\ud800"]), "lone surrogate"),
    "an unknown special token": (
        lambda: BPE.encode("a", allowed_special={"<|y|>"}),
        r"unknown special token '<\|y\|>'; known: <\|endoftext\|>",
    ),
    "an unknown id": (lambda: BPE.decode([1, 300]), "unknown token id 300; ids are 0 to 299"),
    "a negative id": (lambda: BPE.decode([-1]), "unknown token id -1"),
    "text for an id": (lambda: BPE.decode(["a"]), "unknown token id 'a'"),
    "a list for an id": (lambda: BPE.decode([[1, 2]]), r"unknown token id \[1, 2\]"),
    "one id instead of a list": (lambda: BPE.decode(5), "decode takes a list of ids, received 5"),
    "text instead of ids": (lambda: BPE.decode("abc"), "decode takes a list of ids"),
    "an unknown id in a stream": (lambda: BPE.stream_decoder().push(300), "unknown token id 300"),
    "half a character": (
        lambda: BPE.decode([ord("é"), *BPE.encode("é")[:1], 65], errors="strict"),
        'the ids give no UTF-8: byte 0xe9 at offset 0; use errors="replace", or decode_bytes',
    ),
    "another way with errors": (
        lambda: BPE.decode([1], errors="ignore"),
        "errors is 'ignore'; choose replace or strict",
    ),
    "no way with errors": (
        lambda: KINDS["words"].decode([1], errors=None),
        "errors is None; choose replace or strict",
    ),
    "an unknown id of a word": (lambda: KINDS["words"].decode([9999]), "unknown token id 9999"),
}


@pytest.mark.parametrize(("call", "message"), CALLS.values(), ids=CALLS)
def test_refused_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TokenizerError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def readable_counts(path: Path, _: int) -> object:
    return count_words(read_texts(path), Splitter("gpt2"))


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin1.txt"
    with mock.patch.object(text_files, "BLOCK_BYTES", 10):
        for content, message in [
            (b"the \xff theme", "byte 0xff at offset 4;"),
            ("é, ".encode() * 10 + b"na\xefve", "byte 0xef at offset 42;"),
            (b"ab " * 13 + b"\xc3!", "byte 0xc3 at offset 39;"),  # the last byte of a block
            (b"ab " * 33 + "🙂".encode()[:3], "byte 0xf0 at offset 99;"),
        ]:
            path.write_bytes(content)
            for learn in (train, readable_counts):
                with pytest.raises(TokenizerError, match=rf"latin1\.txt is not UTF-8: {message}"):
                    learn(path, 300)
    with pytest.raises(TokenizerError, match="cannot read"):
        train(tmp_path, 300)


def test_a_pattern_with_gaps_is_found_out_in_a_stream_too() -> None:
    with pytest.raises(TokenizerError, match="leaves out ' '"):
        list(Splitter("[a-z]").stream(["a b", "c" * 100_000]))


def test_a_pattern_may_have_groups_and_match_nothing() -> None:
    assert Splitter(r"(\w)\w*|\W").words("ab c") == ["ab", " ", "c"]
    assert count_words([["aa aa"]], Splitter(r"a*|\s")) == {"aa": 2, " ": 1}
    tokenizer = train(["aa aa"], 300, pattern=r"a*|\s")
    assert tokenizer.merges == [(b"a", b"a")]
    assert tokenizer.decode(tokenizer.encode("aa a")) == "aa a"


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_keeps_the_file_that_was_there(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_bytes(b"old")

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        KINDS[kind].save(path)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["tokenizer.json"]
