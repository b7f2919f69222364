"""Token files: what is written is what is read, and damage is one clear line."""

from __future__ import annotations

import io
import pickle
import random
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_explainer.data import Text, check_ids, load_corpus, open_tokens, token_files, write_tokens
from llm_explainer.data.documents import TextBlock
from llm_explainer.errors import CorpusError, TokenizerError
from llm_explainer.tokenizer.base import token_dtype


class Letters:
    """A tokenizer whose ids are code points; ``<|endoftext|>`` is 0."""

    def __init__(self, vocab_size: int = 256, end_of_text: int | None = 0) -> None:
        self.vocab_size, self.end_of_text = vocab_size, end_of_text
        self.special_tokens = {} if end_of_text is None else {"<|endoftext|>": end_of_text}

    def encode_array(self, text: str, *, allowed_special: Collection[str] = "all") -> np.ndarray:
        if allowed_special:
            text = text.replace("<|endoftext|>", "\0")
        if any(ord(letter) >= self.vocab_size for letter in text):
            raise TokenizerError("unknown letter")
        return np.array([ord(letter) for letter in text], token_dtype(self.vocab_size))


def text_of(*blocks: TextBlock) -> Text:
    return Text(lambda: iter(blocks), size_bytes=0)


def documents(*texts: str) -> Text:
    return text_of(*(TextBlock(text, ends_document=True) for text in texts))


@settings(deadline=None)
@given(
    blocks=st.lists(
        st.tuples(st.text(st.characters(max_codepoint=255, min_codepoint=1)), st.booleans()),
        min_size=1,
    ),
    block=st.integers(1, 20),
)
def test_a_token_file_gives_back_the_ids(
    blocks: list[tuple[str, bool]], block: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = "".join(text + "\0" * ends for text, ends in blocks)
    if blocks[-1][1]:
        expected = expected[:-1]  # a separator stands between documents, not after the last
    if not expected:
        return
    path = tmp_path_factory.mktemp("tokens") / "train.npy"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(token_files, "JOB_CHARS", block)
        n_tokens = write_tokens(path, text_of(*(TextBlock(*block) for block in blocks)), Letters())
    tokens = open_tokens(path)
    assert n_tokens == len(expected)
    assert tokens.tolist() == [ord(letter) for letter in expected]
    np.testing.assert_array_equal(np.load(path), tokens)  # any tool opens it
    assert [each.name for each in path.parent.iterdir()] == ["train.npy"]


@pytest.mark.parametrize("workers", [0, -1, 1.5, True, "2"])
def test_workers_are_one_or_more(workers: object, tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"old")
    with pytest.raises(TokenizerError, match="it takes a whole number of 1 or more"):
        write_tokens(tmp_path / "a.npy", documents("hi"), Letters(), workers=workers)  # type: ignore[arg-type]
    assert (tmp_path / "a.npy").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


def test_tokens_are_mapped_and_read_only(tmp_path: Path) -> None:
    write_tokens(tmp_path / "a.npy", documents("hello"), Letters())
    tokens = open_tokens(tmp_path / "a.npy")
    assert isinstance(tokens.base, np.memmap)
    assert tokens.dtype == np.uint16
    with pytest.raises(ValueError, match="read-only"):
        tokens[0] = 1


@pytest.mark.parametrize(("vocab_size", "dtype"), [(65_536, np.uint16), (65_537, np.uint32)])
def test_ids_are_as_small_as_the_vocabulary_allows(
    vocab_size: int, dtype: type[np.unsignedinteger], tmp_path: Path
) -> None:
    assert token_dtype(vocab_size) == dtype
    last = chr(vocab_size - 1)
    write_tokens(tmp_path / "a.npy", documents(last), Letters(vocab_size))
    tokens = open_tokens(tmp_path / "a.npy")
    assert tokens.dtype == dtype
    assert tokens.tolist() == [vocab_size - 1]


def test_without_an_end_of_text_token_an_empty_line_separates(tmp_path: Path) -> None:
    write_tokens(tmp_path / "a.npy", documents("ab", "c"), Letters(end_of_text=None))
    assert open_tokens(tmp_path / "a.npy").tolist() == [97, 98, 10, 10, 99]


def test_progress_counts_characters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_files, "JOB_CHARS", 4)
    seen: list[int] = []
    text = text_of(*(TextBlock(part, ends_document=False) for part in ("abcd", "ef", "gh", "i")))
    write_tokens(tmp_path / "a.npy", text, Letters(), progress=seen.append)
    assert seen == [4, 8, 9]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    write_tokens(path, documents("old"), Letters())
    old = path.read_bytes()
    with pytest.raises(TokenizerError):
        write_tokens(path, documents("new", "€"), Letters())
    with pytest.raises(CorpusError, match="text is empty"):
        write_tokens(path, documents(), Letters())
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_place_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "a.npy"
    with pytest.raises(CorpusError, match=r"cannot write token file .*a\.npy: No such file"):
        write_tokens(path, documents("text"), Letters())
    (tmp_path / "missing").write_text("a file where a folder should be")
    with pytest.raises(CorpusError, match=r"cannot write token file .*a\.npy: Not a directory"):
        write_tokens(path, documents("text"), Letters())


def test_a_story_corpus_becomes_tokens(tmp_path: Path) -> None:
    corpus = load_corpus("stories", max_bytes=20_000)
    write_tokens(tmp_path / "a.npy", corpus.train, Letters(vocab_size=1 << 16))
    text = "".join(chr(token) for token in open_tokens(tmp_path / "a.npy"))
    assert text.split("\0") == list(corpus.train)


class RunsCode:
    def __reduce__(self) -> tuple[object, ...]:
        return (pytest.fail, ("a pickle was loaded",))


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, tokens=np.ones(3, np.uint16))
    return file.getvalue()


GOOD = npy(np.arange(1000, dtype=np.uint16))
LARGE_HEADER = b"\x93NUMPY\x01\x00" + (40_000).to_bytes(2, "little") + b" " * 40_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "damaged"),
        (b"some text", "damaged"),
        (GOOD[:5], "damaged"),
        (GOOD[:100], "damaged"),
        (GOOD[:-1], "damaged"),
        (pickle.dumps(RunsCode()), "damaged"),
        (npy(np.array([RunsCode()], dtype=object)), "damaged"),
        (npz(), "damaged"),
        (LARGE_HEADER, "damaged"),
        (npy(np.ones((2, 2), np.uint16)), r"uint16 of shape \(2, 2\)"),
        (npy(np.ones(3, np.float32)), r"float32 of shape \(3,\)"),
        (npy(np.ones(3, np.int64)), r"int64 of shape \(3,\)"),
        (npy(np.ones(0, np.uint16)), "damaged|empty"),
    ],
)
def test_what_is_no_token_file_is_refused_in_one_line(
    content: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(CorpusError, match=message) as error:
        open_tokens(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"no token file .*a\.npy"):
        open_tokens(tmp_path / "a.npy")


def test_damaged_headers_are_refused_or_harmless(tmp_path: Path) -> None:
    rng = random.Random(0)
    path = tmp_path / "a.npy"
    refusals: list[str] = []
    for _ in range(300):
        damaged = bytearray(GOOD)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(128)] = rng.randrange(256)
        path.write_bytes(damaged)
        try:
            tokens = open_tokens(path)
        except CorpusError as error:
            refusals.append(str(error))
        else:  # a flipped bit in the padding, or in the length: still a flat array of ids
            assert tokens.ndim == 1
            assert tokens.dtype.kind == "u"
    assert len(refusals) > 100
    assert not any("\n" in refusal for refusal in refusals)


@pytest.mark.parametrize("position", [0, 5, 9])
def test_ids_beyond_the_vocabulary_are_found(
    position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_files, "CHECK_BLOCK", 4)
    tokens = np.full(10, 99, np.uint16)
    check_ids(tokens, 100)
    check_ids(tokens, 100_000)  # more than 16 bits hold
    tokens[position] = 100
    with pytest.raises(CorpusError, match=rf"token {position} has id 100, .* 100 ids"):
        check_ids(tokens, 100)
