"""A corpus from a pipe: read once, kept, and then like a file."""

from __future__ import annotations

import os
import sys
import threading

import numpy as np
import pytest
from command_line import FakeInput, assert_one_line, command_runner

from llm_explainer.commands.encode_corpus import encode_corpus
from llm_explainer.commands.mac_accel import mac_accel
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.commands.train_tokenizer import train_tokenizer
from llm_explainer.data import load_corpus, pipes

TEXT = ("the fox went home and sang.\n" * 4000).encode()


@pytest.fixture(autouse=True)
def nothing_kept():
    pipes.keep.cache_clear()
    yield
    pipes.keep.cache_clear()


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    return command_runner(tmp_path, monkeypatch, capsys)


def test_a_pipe_is_like_a_file(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_bytes(TEXT)
    monkeypatch.setattr(sys, "stdin", FakeInput(TEXT))
    file, pipe = load_corpus(tmp_path / "text.txt"), load_corpus("-")
    for expected, found in ((file.train, pipe.train), (file.validation, pipe.validation)):
        assert found.size_bytes == expected.size_bytes
        assert "".join(found) == "".join(expected) == "".join(found)


def test_what_came_is_there_for_who_asks_again(monkeypatch):
    monkeypatch.setattr(sys, "stdin", FakeInput(TEXT))
    first, second = load_corpus("-"), load_corpus("-", max_bytes=1000)
    assert "".join(second.train) == "".join(first.train)[: len("".join(second.train))]


def test_readers_do_not_disturb_each_other(monkeypatch):
    monkeypatch.setattr(sys, "stdin", FakeInput(TEXT))
    kept = pipes.keep("-")
    with kept.open() as one, kept.open() as other:
        assert one.read(7) == TEXT[:7]
        assert other.read() == TEXT
        assert one.read() == TEXT[7:]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert pipes.is_pipe(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(TEXT,))
    writer.start()
    corpus = load_corpus(tmp_path / "pipe")
    writer.join()
    assert "".join(corpus.train) + "".join(corpus.validation) == TEXT.decode()


@pytest.mark.parametrize("name", ["text.txt", "folder", "nothing"])
def test_what_is_no_pipe(name, tmp_path):
    (tmp_path / "text.txt").write_bytes(TEXT)
    (tmp_path / "folder").mkdir()
    assert not pipes.is_pipe(tmp_path / name)


def test_every_command_that_reads_a_corpus_takes_a_pipe(command, tmp_path):
    def pipe() -> FakeInput:
        pipes.keep.cache_clear()
        return FakeInput(TEXT)

    small = ["--backend=numpy", "--steps=2"]
    train = ["--size=tiny", "--vocab-size=300", "--eval-windows=2", "--out=run", *small]
    assert command(pretrain, "--corpus=-", *train, stdin=pipe())[0] == 0
    assert np.load(tmp_path / "run" / "data" / "train.npy").size > 1000
    assert command(train_tokenizer, "-", "--vocab-size=300", stdin=pipe())[0] == 0
    assert (tmp_path / "trained-tokenizers" / "pipe" / "tokenizer.json").exists()
    assert command(encode_corpus, "-", "--tokenizer=bytes", stdin=pipe())[0] == 0
    assert (tmp_path / "tokens" / "pipe-train.npy").exists()
    accel = ["--corpus=-", "--data-size=5000", *small]
    assert command(mac_accel, *accel, stdin=pipe())[0] == 0


@pytest.mark.parametrize(
    ("stdin", "message"),
    [
        (FakeInput(b"", terminal=True), "there is none"),
        (FakeInput(b""), "corpus - is empty"),
        (FakeInput(b"\xff\xfe"), "the pipe is not UTF-8"),
    ],
    ids=["terminal", "empty", "no UTF-8"],
)
def test_a_pipe_that_brings_no_text(stdin, message, command):
    assert_one_line(command(pretrain, "--corpus=-", "--size=tiny", stdin=stdin), message)
