"""Encoding many texts and whole files, by one process or several: the ids of one plain call."""

from __future__ import annotations

import os
import pickle
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from tokenizer_cases import NASTY_TEXTS, SAMPLE, one_of_each_kind

from llm_explainer import worker_pool
from llm_explainer.data import Text, open_tokens, write_tokens
from llm_explainer.data.documents import TextBlock
from llm_explainer.errors import CorpusError, LLMExplainerError, TokenizerError
from llm_explainer.tokenizer import BPETokenizer, CharTokenizer, parallel_encoding
from llm_explainer.tokenizer.files import file_blocks
from llm_explainer.tokenizer.pattern_tokenizer import PatternTokenizer
from llm_explainer.tokenizer.readable import cuts

NAMES = ["<|endoftext|>", "<|x|>", "<|x|><|y|>"]
TOKENIZERS: dict[str, PatternTokenizer] = {
    pattern: BPETokenizer.train([SAMPLE, *NASTY_TEXTS], 400, pattern=pattern, special_tokens=NAMES)
    for pattern in (
        "gpt2",
        "gpt4",
        r"[\p{L}\d]+|[^\p{L}\d\s]+|\s+",
        r"\S+\s*|\s+",
    )  # the last keeps blanks behind
}
TOKENIZERS |= one_of_each_kind()
TOKENIZERS["characters"] = CharTokenizer.train([SAMPLE, "<|dfox>,"])
TOKENIZERS["with a blank in a name"] = BPETokenizer.train([SAMPLE], 300, special_tokens=["<a, b>"])
every_kind = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
forks = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
BPE = TOKENIZERS["gpt2"]


def text_of(tokenizer: PatternTokenizer, rng: random.Random) -> str:
    """Return text that is hard to cut, and that the tokenizer knows."""
    parts = [SAMPLE[:300], "  \n ", "\n", ", ", "We're, then", *tokenizer.special_tokens]
    if isinstance(tokenizer, BPETokenizer):
        parts += [*NASTY_TEXTS, "<|x|><|", "<|endof text", "中文\n中文", "a" * 90, "<a, b"]
    return "".join(rng.choice(parts) for _ in range(60))


@every_kind
@pytest.mark.parametrize("block_bytes", [1, 50, 1 << 20])
def test_a_file_has_the_ids_of_its_text(
    tokenizer: PatternTokenizer, block_bytes: int, tmp_path: Path
) -> None:
    rng = random.Random(block_bytes)
    source, target = tmp_path / "text.txt", tmp_path / "ids.npy"
    with (
        mock.patch.object(file_blocks, "BLOCK_BYTES", block_bytes),
        mock.patch.multiple(cuts, _NEAR=5, _FAR=20),
    ):
        for _ in range(8):
            text = text_of(tokenizer, rng)
            source.write_text(text, encoding="utf-8", newline="")
            for allowed in ("all", "none", ["<|endoftext|>"][: len(tokenizer.special_tokens)]):
                if set(allowed) <= set(tokenizer.special_tokens) or isinstance(allowed, str):
                    n_ids = tokenizer.encode_file(source, target, allowed_special=allowed)
                    expected = PatternTokenizer.encode(tokenizer, text, allowed_special=allowed)
                    assert open_tokens(target).tolist() == expected
                    assert n_ids == len(expected)
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "ids.npy"}


@forks
@pytest.mark.parametrize("kind", ["gpt4", r"[\p{L}\d]+|[^\p{L}\d\s]+|\s+", "characters"])
def test_several_processes_write_the_same_file(kind: str, tmp_path: Path) -> None:
    tokenizer, rng = TOKENIZERS[kind], random.Random(1)
    source, target = tmp_path / "text.txt", tmp_path / "ids.npy"
    text = "".join(text_of(tokenizer, rng) for _ in range(20))
    source.write_text(text, encoding="utf-8", newline="")
    seen: list[tuple[str, int, int]] = []
    with mock.patch.object(file_blocks, "BLOCK_BYTES", 2000):
        tokenizer.encode_file(source, target, workers=3, progress=lambda *what: seen.append(what))
    assert open_tokens(target).tolist() == tokenizer.encode(text)
    size = source.stat().st_size
    assert seen[-1] == ("encoding", size, size)
    assert [done for _, done, _ in seen] == sorted({done for _, done, _ in seen})


@every_kind
def test_between_files_stands_end_of_text(tokenizer: PatternTokenizer, tmp_path: Path) -> None:
    paths = [tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt"]
    for path, text in zip(paths, ["The theme", "", " is that\n"], strict=True):
        path.write_text(text, encoding="utf-8", newline="")
    separator = "<|endoftext|>" if tokenizer.end_of_text is not None else ""
    tokenizer.encode_file(paths, tmp_path / "ids.npy", allowed_special="none")
    ids = open_tokens(tmp_path / "ids.npy").tolist()
    assert ids == tokenizer.encode(f"The theme{separator}{separator} is that\n")


def test_the_dtype_is_the_smallest_or_the_one_asked_for(tmp_path: Path) -> None:
    source, target = tmp_path / "text.txt", tmp_path / "ids.npy"
    source.write_text(SAMPLE, encoding="utf-8")
    BPE.encode_file(source, target)
    assert open_tokens(target).dtype == np.uint16
    BPE.encode_file(source, target, dtype="uint32")
    assert open_tokens(target).dtype == np.uint32
    assert open_tokens(target).tolist() == BPE.encode(SAMPLE)


REFUSED = {
    "a dtype too small": ({"dtype": "uint16"}, "uint16 holds 65,536 ids .* has 65,537; use uint32"),
    "an unknown dtype": ({"dtype": "int8"}, "dtype is 'int8'; choose uint16 or uint32"),
    "no workers": ({"workers": 0}, "workers is 0; it takes a whole number of 1 or more"),
    "an unknown name": ({"allowed_special": ["<|z|>"]}, r"unknown special token '<\|z\|>'"),
    "its own text": ({"target": "text.txt"}, r"text\.txt would be overwritten by its own ids"),
    "no folder": ({"target": "none/ids.npy"}, r"cannot write token file .*ids\.npy: No such file"),
    "a folder": ({"target": "."}, r"cannot write token file '\.': it is no name of a file"),
    "no file at all": ({"target": "a\0b"}, "cannot write token file .* it is no name of a file"),
    "a missing text": ({"source": "none.txt"}, r"cannot read '.*none\.txt': No such file"),
    "no path": ({"source": 5}, "source is 5; it takes a path, or a list of paths"),
    "an empty text": ({"source": "empty.txt"}, r"no tokens for .*ids\.npy: the text is empty"),
    "not UTF-8": (
        {"source": "latin1.txt"},
        r"latin1\.txt is not UTF-8: byte 0xef at offset 201,003;",
    ),
    "half a character": ({"source": "half.txt"}, "is not UTF-8: byte 0xc3 at offset 100;"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_in_one_line_and_the_old_file_stays(
    change: dict[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(SAMPLE, encoding="utf-8")
    Path("empty.txt").touch()
    Path("latin1.txt").write_bytes(b"ab " * 67 * 1000 + b" na\xefve")
    Path("half.txt").write_bytes(b"ab, " * 25 + "é".encode()[:1])
    Path("ids.npy").write_bytes(b"old")
    large = BPETokenizer(
        {i: i.to_bytes(1 if i < 256 else 3) for i in range(1 << 16)}, [], {"<|endoftext|>": 1 << 16}
    )
    before = sorted(tmp_path.iterdir())
    options = {"source": "text.txt", "target": "ids.npy", **change}
    with pytest.raises(LLMExplainerError, match=message) as error:
        large.encode_file(**options)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert Path("ids.npy").read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """Let no file grow beyond 100 kB, as on a disk that is full."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@forks
@pytest.mark.usefixtures("small_files_only")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_disk_that_is_full_in_the_middle(workers: int, tmp_path: Path) -> None:
    source, target = tmp_path / "text.txt", tmp_path / "ids.npy"
    source.write_bytes(b"e t, " * 19_000)
    target.write_bytes(b"old")
    with (
        mock.patch.object(file_blocks, "BLOCK_BYTES", 10_000),
        pytest.raises(CorpusError, match=r"cannot write token file .*ids\.npy: File too large"),
    ):
        BPE.encode_file(source, target, workers=workers, dtype="uint32")
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ids.npy", "text.txt"]


@forks
def test_what_a_worker_refuses_is_said_here(tmp_path: Path) -> None:
    source, target = tmp_path / "text.txt", tmp_path / "ids.npy"
    source.write_bytes(b"ab " * 10_000 + b"\xff" + b"ab " * 10_000)
    with (
        mock.patch.object(file_blocks, "BLOCK_BYTES", 1000),
        pytest.raises(TokenizerError, match="byte 0xff at offset 30,000"),
    ):
        BPE.encode_file(source, target, workers=2)
    assert [path.name for path in tmp_path.iterdir()] == ["text.txt"]


@forks
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", ["gpt2", "characters"])
def test_a_batch_has_the_ids_of_each_text(kind: str, workers: int) -> None:
    tokenizer, rng = TOKENIZERS[kind], random.Random(2)
    texts = [text_of(tokenizer, rng) for _ in range(20)] + ["", "the"]
    with mock.patch.object(parallel_encoding, "_JOB_CHARS", 3000):
        for allowed in ("all", "none"):
            ids = tokenizer.encode_batch(texts, allowed_special=allowed, workers=workers)
            assert ids == [tokenizer.encode(text, allowed_special=allowed) for text in texts]
        assert tokenizer.encode_batch(iter(texts), workers=workers)[-1] == tokenizer.encode("the")
        assert tokenizer.encode_batch([], workers=workers) == []
        with pytest.raises(TokenizerError, match=r"text is expected \(str\), received int"):
            tokenizer.encode_batch(["a", 5], workers=workers)  # type: ignore[list-item]


@pytest.mark.parametrize("texts", ["abc", b"abc", 5])
def test_a_batch_is_a_list(texts: object) -> None:
    with pytest.raises(TokenizerError, match="they come as a list of str"):
        BPE.encode_batch(texts)  # type: ignore[arg-type]


@forks
def test_a_corpus_is_encoded_by_several_processes_too(tmp_path: Path) -> None:
    blocks = [TextBlock(SAMPLE, ends_document=place % 3 == 0) for place in range(50)]
    text = Text(lambda: iter(blocks), 0)
    with mock.patch("llm_explainer.data.token_files.JOB_CHARS", 500):
        n_tokens = [
            write_tokens(tmp_path / f"{workers}.npy", text, BPE, workers=workers, dtype="uint32")
            for workers in (1, 2)
        ]
    assert (tmp_path / "1.npy").read_bytes() == (tmp_path / "2.npy").read_bytes()
    assert n_tokens == [len(open_tokens(tmp_path / "1.npy"))] * 2


def double(_: object, job: int) -> int:
    return 2 * job


def die(_: object, job: int) -> int:
    os._exit(job)


@forks
def test_answers_come_in_order_and_jobs_are_read_as_they_are_needed() -> None:
    n_read = 0

    def jobs() -> Iterator[int]:
        nonlocal n_read
        for job in range(50):
            n_read += 1
            yield job

    answers = worker_pool.in_order(2, double, None, jobs())
    for place, answer in enumerate(answers):
        assert answer == 2 * place
        assert n_read <= place + 6


@forks
def test_a_worker_that_dies_is_reported() -> None:
    with pytest.raises(TokenizerError, match="2 workers could not start or were stopped"):
        list(worker_pool.in_order(2, die, None, [1, 2, 3]))


@every_kind
def test_another_process_can_get_it_where_processes_are_not_forked(
    tokenizer: PatternTokenizer,
) -> None:
    copy = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301 - made here
    assert copy.to_json() == tokenizer.to_json()
    assert copy.encode(SAMPLE) == tokenizer.encode(SAMPLE)
