"""train-tokenizer and encode-corpus: files that others load, the way to training, bad input."""

from __future__ import annotations

import json
import re
import shlex

import numpy as np
import pytest
from command_line import assert_one_line, command_runner
from tokenizer_cases import SAMPLE

from llm_explainer.commands.encode_corpus import encode_corpus
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.commands.tokenize import tokenize
from llm_explainer.commands.train_tokenizer import train_tokenizer
from llm_explainer.data import load_corpus
from llm_explainer.data.joined_corpora import load_corpora
from llm_explainer.errors import CorpusError
from llm_explainer.tokenizer import END_OF_TEXT, BPETokenizer, load_tokenizer

STORIES = ["stories", "--max-bytes=60000"]
SMALL = [*STORIES, "--vocab-size=300", "--workers=1"]


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.fixture
def tokenizer(tmp_path):
    tokenizer = BPETokenizer.train([SAMPLE], 300)
    tokenizer.save(tmp_path / "tokenizer.json")
    return tokenizer


# train-tokenizer


def test_a_tokenizer_is_what_the_library_learns_and_can_be_used_at_once(command, tmp_path):
    code, out, err = command(train_tokenizer, *SMALL)
    assert (code, err) == (0, "")
    text = load_corpus("stories", max_bytes=60_000).train
    expected = BPETokenizer.train(text, 300)
    learned = load_tokenizer(tmp_path / "trained-tokenizers" / "stories" / "tokenizer.json")
    assert learned.merges == expected.merges
    assert learned.special_tokens == {END_OF_TEXT: 299}
    assert re.search(r"held-out text +\d\.\d+ bytes a token on 6,\d+ bytes", out)
    assert "300 tokens in" in out
    assert command(tokenize, "Once", "--tokenizer=trained-tokenizers/stories")[0] == 0
    assert sorted(path.name for path in (tmp_path / "trained-tokenizers").iterdir()) == ["stories"]


def test_options_reach_the_training(command, tmp_path):
    special = ["--special-token=<|a|>", "--special-token=<|b|>", "--end-token=<end>"]
    options = ["--pattern=gpt4", "--ties=lower-ids", "--min-frequency=3", "--name=mine"]
    assert command(train_tokenizer, *SMALL, *special, *options)[0] == 0
    learned = load_tokenizer(tmp_path / "trained-tokenizers" / "mine" / "tokenizer.json")
    text = load_corpus("stories", max_bytes=60_000).train
    expected = BPETokenizer.train(
        text,
        300,
        special_tokens=["<end>", "<|a|>", "<|b|>"],
        pattern="gpt4",
        ties="lower-ids",
        min_frequency=3,
    )
    assert learned.to_json() == expected.to_json()
    assert learned.end_of_text == learned.roles.begin == learned.special_tokens["<end>"]
    assert command(train_tokenizer, *SMALL, "--no-special-tokens", "--out=none")[0] == 0
    assert load_tokenizer(tmp_path / "none" / "tokenizer.json").special_tokens == {}


def test_it_says_when_the_text_has_no_more_to_offer(command, tmp_path):
    (tmp_path / "short.txt").write_text("ab ab ab abc abc " * 3)
    code, out, _ = command(train_tokenizer, "short.txt", "--workers=1", "--min-frequency=4")
    assert code == 0
    assert "no more than that, because no further pair occurs 4 times" in " ".join(out.split())


def test_files_and_folders_together(command, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "one.md").write_text("one apple and one pear " * 20)
    (tmp_path / "two.txt").write_text("two plums and two figs " * 20)
    assert command(train_tokenizer, "notes", "two.txt", "--workers=1", "--vocab-size=290")[0] == 0
    learned = load_tokenizer(tmp_path / "trained-tokenizers" / "notes" / "tokenizer.json")
    tokens = set(learned.vocab.values())
    assert {b" one", b" two"} <= tokens


def test_an_existing_tokenizer_is_replaced_only_on_request(command, tmp_path):
    assert command(train_tokenizer, *SMALL)[0] == 0
    file = tmp_path / "trained-tokenizers" / "stories" / "tokenizer.json"
    before = file.read_bytes()
    other = [*STORIES, "--vocab-size=310", "--workers=1"]
    assert_one_line(command(train_tokenizer, *other), "trained-tokenizers/stories", "--overwrite")
    assert file.read_bytes() == before
    assert_one_line(command(train_tokenizer, *other, "--overwrite", "--pattern=("), "'('")
    assert file.read_bytes() == before
    assert command(train_tokenizer, *other, "--overwrite")[0] == 0
    assert load_tokenizer(file).vocab_size == 310
    (file.parent / "diary.txt").write_text("")
    assert_one_line(command(train_tokenizer, *SMALL, "--overwrite"), "diary.txt")


@pytest.mark.parametrize(
    ("arguments", "needles"),
    [
        ([], ["no corpus"]),
        (["nowhere.txt"], ["nowhere.txt", "stories"]),
        (["empty.txt"], ["empty.txt", "empty"]),
        (["latin1.txt"], ["latin1.txt", "UTF-8", "offset 3"]),
        (["stories", "stories"], ["'stories' is given twice"]),
        ([*SMALL, "--vocab-size=256"], ["--vocab-size is 256", "257"]),
        ([*SMALL, "--min-frequency=0"], ["--min-frequency is 0"]),
        ([*SMALL, "--workers=0"], ["--workers is 0"]),
        ([*SMALL, "--pattern=(a"], ["'(a'", "does not compile"]),
        ([*SMALL, "--pattern="], ["pattern is ''"]),
        ([*SMALL, "--pattern=a"], ["'a'", "leaves out"]),
        ([*SMALL, "--ties=first"], ["'first'", "greatest-bytes"]),
        ([*SMALL, "--special-token="], ["special token ''"]),
        ([*SMALL, "--special-token=x", "--special-token=x"], ["'x' is given twice"]),
        ([*SMALL, "--special-token=x", "--no-special-tokens"], ["leave it out"]),
        ([*SMALL, "--end-token=x", "--no-special-tokens"], ["--end-token does not go with"]),
        ([*SMALL, "--max-bytes=0"], ["--max-bytes is 0"]),
        ([*SMALL, "--out=empty.txt"], ["empty.txt"]),
        ([*SMALL, "--out=/proc/tokenizer"], ["cannot write /proc/tokenizer"]),
        ([*SMALL, "--name=../up"], ["--name is '../up'"]),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else None,
)
def test_what_cannot_be_learned_is_one_line_and_leaves_nothing(
    command, tmp_path, arguments, needles
):
    (tmp_path / "empty.txt").write_bytes(b"")
    (tmp_path / "latin1.txt").write_bytes("café ".encode("latin-1") * 50)
    assert_one_line(command(train_tokenizer, *arguments), *needles)
    left = [path for path in tmp_path.rglob("*") if path.is_file() or path.name.startswith(".")]
    assert sorted(path.name for path in left) == ["empty.txt", "latin1.txt"]


def test_transformers_loads_the_folder(command, tmp_path):
    transformers = pytest.importorskip("transformers")
    (tmp_path / "text.txt").write_text(SAMPLE)
    assert command(train_tokenizer, "text.txt", "--vocab-size=320", "--workers=1")[0] == 0
    folder = tmp_path / "trained-tokenizers" / "text"
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert theirs.encode(SAMPLE) == load_tokenizer(folder / "tokenizer.json").encode(SAMPLE)
    assert theirs.eos_token == END_OF_TEXT


# encode-corpus


def ids_of(corpus_text, tokenizer):
    """Encode documents one by one, with the token between them that the files have."""
    ids, ended = [], False
    for piece in corpus_text.blocks():
        if ended:
            ids.append(tokenizer.end_of_text)
        ids += tokenizer.encode_ordinary(piece.text)
        ended = piece.ends_document
    return ids


@pytest.mark.parametrize("workers", [1, 2])
def test_token_files_hold_both_splits(command, tmp_path, tokenizer, workers):
    options = ["--tokenizer=tokenizer.json", f"--workers={workers}", "--val-fraction=0.25"]
    code, out, err = command(encode_corpus, *STORIES, *options)
    assert (code, err) == (0, "")
    corpus = load_corpus("stories", max_bytes=60_000, val_fraction=0.25)
    for split, text in (("train", corpus.train), ("val", corpus.validation)):
        ids = np.load(tmp_path / "tokens" / f"stories-{split}.npy")
        assert ids.dtype == np.uint16
        assert ids.tolist() == ids_of(text, tokenizer)
        n_bytes = sum(len(piece.encode()) for piece in text)
        assert f"{len(ids):,}   {n_bytes:>11,}" in out or f"{n_bytes:,}" in out
    assert len(list((tmp_path / "tokens").iterdir())) == 4


def test_the_command_that_it_shows_trains(command, tmp_path, tokenizer):
    out = command(encode_corpus, *STORIES, "--tokenizer=tokenizer.json", "--name=our stories")[1]
    (line,) = [line for line in out.splitlines() if "train_pretrain.py" in line]
    words = shlex.split(line)
    assert words[:3] == ["uv", "run", "train_pretrain.py"]
    small = ["--size=tiny", "--steps=2", "--batch-size=2", "--workers=1", "--out=run"]
    code, _, err = command(pretrain, *words[3:], *small)
    assert (code, err) == (0, "")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["vocab_size"] == tokenizer.vocab_size
    assert load_tokenizer(tmp_path / "run" / "tokenizer.json").to_json() == tokenizer.to_json()


def test_several_corpora_are_split_each_for_itself(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.txt").write_text(f"{name} word " * 200)
    corpus = load_corpora([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")])
    for text in (corpus.train, corpus.validation):
        documents = "".join(p.text + "|" * p.ends_document for p in text.blocks()).split("|")
        assert [set(document) & {"a", "b"} for document in documents] == [{"a"}, {"b"}, set()]
    with pytest.raises(CorpusError, match="twice"):
        load_corpora(["stories", "stories"])


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.3, 0.75])
def test_a_fraction_of_the_documents_is_for_validation(tmp_path, fraction):
    (tmp_path / "many.txt").write_text("<|endoftext|>".join(f"document {i}" for i in range(200)))
    corpus = load_corpus(tmp_path / "many.txt", val_fraction=fraction)
    train, validation = set(corpus.train), set(corpus.validation)
    assert abs(len(validation) - fraction * 200) <= 1
    assert len(train | validation) == len(train) + len(validation) == 200


def test_existing_token_files_are_replaced_only_on_request(command, tmp_path, tokenizer):
    options = ["--tokenizer=tokenizer.json", "--workers=1"]
    assert command(encode_corpus, *STORIES, *options)[0] == 0
    file = tmp_path / "tokens" / "stories-train.npy"
    before = file.read_bytes()
    assert_one_line(command(encode_corpus, *STORIES, *options), file.name, "--overwrite")
    failing = command(encode_corpus, "nowhere", "--name=stories", *options, "--overwrite")
    assert_one_line(failing, "nowhere")
    assert file.read_bytes() == before
    options += ["--dtype=uint32", "--overwrite"]
    assert command(encode_corpus, *STORIES, *options)[0] == 0
    assert np.load(file).dtype == np.uint32


@pytest.mark.parametrize(
    ("arguments", "needles"),
    [
        (STORIES, ["no tokenizer", "--tokenizer"]),
        (["--tokenizer=bytes"], ["no corpus"]),
        ([*STORIES, "--tokenizer=nowhere"], ["no tokenizer 'nowhere'"]),
        (["nowhere", "--tokenizer=bytes"], ["'nowhere'"]),
        (["latin1.txt", "--tokenizer=bytes"], ["latin1.txt", "UTF-8"]),
        ([*STORIES, "--tokenizer=bytes", "--workers=0"], ["--workers is 0"]),
        ([*STORIES, "--tokenizer=bytes", "--dtype=uint8"], ["'uint8'", "uint16"]),
        (["latin1.txt", "--tokenizer=large.json", "--dtype=uint16"], ["uint16", "65,"]),
        ([*STORIES, "--tokenizer=bytes", "--val-fraction=0"], ["0.0", "below 1"]),
        ([*STORIES, "--tokenizer=bytes", "--val-fraction=nan"], ["nan"]),
        ([*STORIES, "--tokenizer=bytes", "--max-bytes=-1"], ["-1"]),
        ([*STORIES, "--tokenizer=bytes", "--out=latin1.txt"], ["latin1.txt"]),
        ([*STORIES, "--tokenizer=bytes", "--out=/proc/tokens"], ["cannot write", "/proc/tokens"]),
        ([*STORIES, "--tokenizer=bytes", "--name="], ["--name is ''"]),
    ],
    ids=lambda value: " ".join(value)[-30:] if isinstance(value, list) else None,
)
def test_what_cannot_be_encoded_is_one_line_and_leaves_nothing(
    command, tmp_path, arguments, needles
):
    text = "café " if "large" in str(arguments) else "caf\udce9 "
    (tmp_path / "latin1.txt").write_bytes(text.encode("utf-8", "surrogateescape") * 50)
    if "large" in str(arguments):
        large_tokenizer().save(tmp_path / "large.json")
    before = set(tmp_path.rglob("*.*"))
    assert_one_line(command(encode_corpus, *arguments), *needles)
    assert set(tmp_path.rglob("*.*")) == before


def large_tokenizer():
    """Return a tokenizer with more ids than 16 bits can tell apart."""
    first = [bytes([byte]) for byte in range(256)]
    pairs = [(a, b) for a in first for b in first]
    vocab = dict(enumerate([*first, *(a + b for a, b in pairs)]))
    return BPETokenizer(vocab, pairs, {})
