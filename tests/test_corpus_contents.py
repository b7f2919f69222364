"""A corpus is what the user meant: what is taken of a folder or a file, and what is said of it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llm_explainer import ModelConfig, load_backend, save_checkpoint
from llm_explainer.checkpoint.saving import write_tokenizer
from llm_explainer.data import load_corpus
from llm_explainer.data.text_files import find_text_files
from llm_explainer.data.token_files import open_tokens
from llm_explainer.errors import CorpusError
from llm_explainer.tokenizer import END_OF_TEXT, BPETokenizer, CharTokenizer, Tokenizer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.runs.folder import RunFolder

LINES = "The fox went home.\n" * 40


def whole(path: Path) -> str:
    text = load_corpus(path).whole
    assert text is not None
    return "".join(text)


def put_run(folder: Path) -> None:
    run = RunFolder(folder / "old")
    run.create()
    run.write_record({"model": {}, "train": {}})
    run.let_go()
    (folder / "old" / "log.jsonl").write_text('{"text": "no"}\n')


def put_model(folder: Path) -> None:
    tokenizer = CharTokenizer.train(["ab"])
    config = ModelConfig(vocab_size=3, d_model=4, n_layers=1, n_heads=1, context_length=8)
    save_checkpoint(folder / "deep" / "model", load_backend("numpy").GPT(config), tokenizer)


def put_tokenizer(folder: Path) -> None:
    (folder / "mine").mkdir()
    write_tokenizer(folder / "mine", CharTokenizer.train(["ab"]))


def put_token_files(folder: Path) -> None:
    np.save(folder / "text-train.npy", np.arange(9))
    CharTokenizer.train(["ab"]).save(folder / "text-tokenizer.json")


def put_loop(folder: Path) -> None:
    (folder / "up").symlink_to("..")


def put_twice(folder: Path) -> None:
    (folder / "sub").mkdir()
    (folder / "sub" / "again").symlink_to("../sub")


LEFT_OUT: list[tuple[Callable[[Path], object], str]] = [
    (put_run, "1 run (old)"),
    (put_model, "1 model or tokenizer (deep/model)"),
    (put_tokenizer, "1 model or tokenizer (mine)"),
    (put_token_files, "1 model or tokenizer (text-tokenizer.json), 1 binary file (text-train.npy)"),
    (put_loop, "1 link to what is read anyway (up)"),
    (put_twice, "1 link to what is read anyway (sub/again)"),
    (lambda f: (f / ".git").mkdir(), "1 hidden (.git)"),
    (lambda f: (f / "old.html").write_bytes(b"caf\xe9"), "1 file that is not UTF-8 (old.html)"),
    (lambda f: (f / "chat.jsonl").write_text('{"prompt": ""}'), "1 JSONL file without text"),
    (lambda f: (f / "t.gz").write_bytes(b"no"), "1 damaged file (t.gz)"),
    (lambda f: (f / "t.tar.gz").write_bytes(gzip.compress(b"a\0")), "1 binary file (t.tar.gz)"),
    (lambda f: (f / "gone.txt").symlink_to("nowhere"), "1 entry that is no file (gone.txt)"),
]


@pytest.mark.parametrize(("put", "said"), LEFT_OUT)
def test_what_is_no_text_is_left_out_and_said(
    put: Callable[[Path], object], said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "text.txt").write_text(LINES)
    put(folder)
    assert whole(folder) == LINES
    assert f"left out: {said}" in load_corpus(folder).description


def test_several_of_a_kind_are_counted(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(LINES)
    for number in range(5):
        (tmp_path / f"{number}.png").write_bytes(b"\0")
    assert (
        "left out: 5 binary files (0.png, 1.png, 2.png, ...)" in load_corpus(tmp_path).description
    )


def test_a_folder_around_one_that_was_linked_is_read_but_for_that(tmp_path: Path) -> None:
    (tmp_path / "books" / "old").mkdir(parents=True)
    (tmp_path / "books" / "new.txt").write_text("The new one.")
    (tmp_path / "books" / "old" / "old.txt").write_text("The old one.")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a").symlink_to("../books/old")
    (tmp_path / "corpus" / "b").symlink_to("../books")
    found = find_text_files(tmp_path / "corpus")
    assert [path.name for path in found.texts] == ["old.txt", "new.txt"]
    assert found.describe() == "left out: 1 link to what is read anyway (b/old)"


def test_linked_folders_and_files_are_read_once(tmp_path: Path) -> None:
    for name in ("real/part.txt", "corpus/own.txt", "other.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "corpus" / "sub").symlink_to("../real")
    (tmp_path / "corpus" / "twice").symlink_to("../real")
    (tmp_path / "corpus" / "z.txt").symlink_to("../other.txt")
    assert whole(tmp_path / "corpus") == "corpus/own.txtreal/part.txtother.txt"
    description = load_corpus(tmp_path / "corpus").description
    assert "in 3 documents; left out: 1 link to what is read anyway (twice)" in description


def test_a_run_is_no_corpus(tmp_path: Path) -> None:
    put_run(tmp_path)
    with pytest.raises(CorpusError, match="is a run, and not a text"):
        load_corpus(tmp_path / "old")
    with pytest.raises(CorpusError, match=r"holds no text; .* \(left out: 1 run \(old\)\)"):
        load_corpus(tmp_path)


def test_packed_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + LINES.encode()))
    assert whole(tmp_path / "a.txt.gz") == whole(tmp_path) == LINES
    (tmp_path / "half.txt.gz").write_bytes((tmp_path / "a.txt.gz").read_bytes()[:-20])
    with pytest.raises(CorpusError, match=r"half.txt.gz: it is damaged"):
        load_corpus(tmp_path / "half.txt.gz")
    (tmp_path / "b.tar.gz").write_bytes(gzip.compress(b"name\0\0text"))
    with pytest.raises(CorpusError, match=r"b.tar.gz is no UTF-8 text: it has bytes of zero"):
        load_corpus(tmp_path / "b.tar.gz")


@pytest.mark.parametrize("packed", [False, True])
def test_lines_of_json_are_documents(packed: bool, tmp_path: Path) -> None:
    texts = ["One.\nTwo lines.", " Ünï ", "", "Three."]
    lines = "\n".join(json.dumps({"id": i, "text": text}) for i, text in enumerate(texts)) + "\n\n"
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(lines.encode()) if packed else lines.encode())
    assert list(load_corpus(path).whole or ()) == ["One.\nTwo lines.", "Ünï", "Three."]
    assert whole(tmp_path) == whole(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"prompt": "a", "completion": "b"}', r"line 2 has no text \(it has 'prompt', 'compl"),
        ('{"text": 7}', "line 2 has no text"),
        ("[1]", "line 2 holds no JSON object"),
        ("{", "line 2 is no JSON"),
    ],
)
def test_a_line_without_text_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n' + line)
    with pytest.raises(CorpusError, match=message) as error:
        load_corpus(path)
    assert "\n" not in str(error.value)


def test_a_share_of_documents_in_several_pieces(tmp_path: Path) -> None:
    long = [f"{name} line of text.\n" * 60_000 for name in "ab"]  # 1.1 MB each
    path = tmp_path / "two.txt"
    path.write_text("<|endoftext|>".join(long))
    corpus = load_corpus(path)
    for text, share in ((corpus.train, 0.9), (corpus.validation, 0.1)):
        found = "".join(block.text + "|" * block.ends_document for block in text.blocks())
        for document, name in zip(found.split("|"), "ab", strict=False):
            lines = document.splitlines()
            assert set(lines) == {f"{name} line of text."}  # cut between lines
            assert abs(len(lines) - share * 60_000) < 3100


def prepared(tmp_path: Path, corpus: Path, **data: object) -> tuple[Tokenizer, RunFolder, str]:
    settings = PretrainSettings(
        data=DataConfig(corpus=str(corpus), vocab_size=300, **data),  # type: ignore[arg-type]
        train=TrainConfig(),
    )
    folder = RunFolder(tmp_path / "run")
    folder.create()
    found = settings.load()(folder, lambda *_: None)
    folder.let_go()
    assert found.tokenizer is not None
    return found.tokenizer, folder, found.corpus


@pytest.mark.parametrize(
    ("texts", "data"),
    [
        ([LINES + "They drank café."], {}),
        ([LINES + "café", LINES + "naïve"], {}),
        ([f"{i}." for i in range(59)] + ["é"], {}),  # the last of them, a tenth
        ([LINES + "They drank café."], {"train_bytes": 40}),
    ],
)
def test_characters_of_the_validation_text_are_known(
    texts: list[str], data: dict[str, object], tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text(END_OF_TEXT.join(texts), encoding="utf-8")
    tokenizer, folder, _ = prepared(tmp_path, tmp_path / "a.txt", tokenizer="char", **data)
    ids = open_tokens(folder.data_folder / "validation.npy")
    assert "é" in tokenizer.decode(ids.tolist())


@pytest.mark.parametrize("kind", ["bpe", "char", "word"])
def test_every_tokenizer_has_an_end_and_begins_where_documents_do(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "one.txt").write_text(LINES)
    (tmp_path / "two.txt").write_text(LINES + END_OF_TEXT + LINES)
    one, _, _ = prepared(tmp_path / "a", tmp_path / "one.txt", tokenizer=kind)
    two, _, _ = prepared(tmp_path / "b", tmp_path / "two.txt", tokenizer=kind)
    for tokenizer in (one, two):
        assert tokenizer.end_of_text == tokenizer.special_tokens[END_OF_TEXT]
    assert (one.roles.begin, two.roles.begin) == (None, two.end_of_text)


def test_documents_without_an_end_token_are_set_apart_and_it_is_said(tmp_path: Path) -> None:
    CharTokenizer.train([LINES], special_tokens=()).save(tmp_path / "tokenizer.json")
    (tmp_path / "two.txt").write_text(LINES + END_OF_TEXT + LINES)
    tokenizer, folder, said = prepared(
        tmp_path, tmp_path / "two.txt", tokenizer=str(tmp_path / "tokenizer.json")
    )
    text = tokenizer.decode(open_tokens(folder.data_folder / "train.npy").tolist())
    assert "home.\n\n\nThe fox" in text  # the first is the line's own
    assert "documents are set apart by an empty line, because the tokenizer has no token" in said


def put_bytes(folder: Path) -> str:
    return "bytes"


def put_own_folder(folder: Path) -> str:
    write_tokenizer(folder, CharTokenizer.train([LINES]))
    return str(folder)


def put_gpt2_files(folder: Path) -> str:
    model = json.loads(BPETokenizer.train([LINES], 270).to_json())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    return str(folder)


def put_checkpoint(folder: Path) -> str:
    config = ModelConfig(vocab_size=257, d_model=4, n_layers=1, n_heads=1, context_length=8)
    model = load_backend("numpy").GPT(config)
    return str(save_checkpoint(folder / "m", model, BPETokenizer.train([LINES], 257)))


@pytest.mark.parametrize(
    ("put", "n_tokens"),
    [(put_bytes, 256), (put_own_folder, 14), (put_gpt2_files, 270), (put_checkpoint, 257)],
)
def test_a_tokenizer_is_named_as_everywhere_and_its_size_is_said(
    put: Callable[[Path], str], n_tokens: int, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(LINES)
    (tmp_path / "named").mkdir()
    named = put(tmp_path / "named")
    tokenizer, _, said = prepared(tmp_path, tmp_path / "text.txt", tokenizer=named)
    assert tokenizer.vocab_size == n_tokens
    assert said.endswith(f"; the tokenizer has {n_tokens} tokens, not 300")
