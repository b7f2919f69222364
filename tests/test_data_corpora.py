"""Corpora: blocks are the text, splits do not overlap, and bad input is one clear line."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_explainer.data import Corpus, corpora, load_corpus
from llm_explainer.data import download as downloads
from llm_explainer.data.documents import TextBlock, read_documents
from llm_explainer.data.text_files import find_text_files
from llm_explainer.errors import CorpusError

SHAKESPEARE = Path(__file__).parents[2] / "shared" / "data" / "tinyshakespeare.txt"

# Short alphabets, so that separators, runs of white space and block ends meet often.
texts = st.text(st.sampled_from("ab \n.é€😀"), max_size=80)


def read_file(folder: Path, content: bytes, block_bytes: int) -> list[TextBlock]:
    path = folder / "text.txt"
    path.write_bytes(content)
    return list(read_documents(path, block_bytes=block_bytes))


@settings(deadline=None)
@given(text=texts, block_bytes=st.integers(16, 40))
def test_blocks_of_one_text_joined_are_the_text(
    text: str, block_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    blocks = read_file(tmp_path_factory.mktemp("one"), text.encode(), block_bytes)
    assert "".join(block.text for block in blocks) == text
    assert [block.ends_document for block in blocks] == [False] * (len(blocks) - 1) + [True][
        : len(blocks)
    ]


@settings(deadline=None)
@given(documents=st.lists(texts, min_size=2, max_size=6), block_bytes=st.integers(16, 40))
def test_separated_documents_come_out_one_by_one(
    documents: list[str], block_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = "\n<|endoftext|>\n".join(documents).encode()
    blocks = read_file(tmp_path_factory.mktemp("many"), content, block_bytes)
    found, parts = [], []
    for block in blocks:
        parts.append(block.text)
        if block.ends_document:
            found.append("".join(parts).strip())
            parts = []
    assert not parts
    assert [document for document in found if document] == [
        document.strip() for document in documents if document.strip()
    ]


def test_white_space_around_separators_is_dropped_and_elsewhere_kept(tmp_path: Path) -> None:
    content = b"one  two three four five six\n<|endoftext|>\n\n seven\n eight \n<|endoftext|>nine\n"
    for block_bytes in range(16, 80):  # a block may end at any character
        blocks = read_file(tmp_path, content, block_bytes)
        joined = "".join(block.text + "|" * block.ends_document for block in blocks)
        assert joined == "one  two three four five six|seven\n eight|nine|"


def test_long_texts_are_cut_where_words_stay_whole(tmp_path: Path) -> None:
    lines = "First line, here.\nSecond line.\n\n\nAfter a gap:  two spaces.\n" * 20
    blocks = read_file(tmp_path, lines.encode(), block_bytes=100)
    assert len(blocks) > 5
    for block, following in itertools.pairwise(blocks):
        assert block.text.endswith((".\n", ":\n"))
        assert not following.text[0].isspace()

    one_line = "many words and no line end " * 20
    for block, following in itertools.pairwise(read_file(tmp_path, one_line.encode(), 100)):
        assert not block.text.endswith(" ")
        assert following.text.startswith(" ")


def test_a_byte_order_mark_is_not_text(tmp_path: Path) -> None:
    assert read_file(tmp_path, b"\xef\xbb\xbfhello", 100) == [TextBlock("hello", True)]


@settings(deadline=None)
@given(before=texts, block_bytes=st.integers(16, 40))
def test_the_offset_of_a_bad_byte_is_exact(
    before: str, block_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = before.encode()
    with pytest.raises(CorpusError, match=rf"text\.txt .*0xff at offset {len(good)};"):
        read_file(tmp_path_factory.mktemp("bad"), good + b"\xff after", block_bytes)
    with pytest.raises(CorpusError, match=rf"0xe2 at offset {len(good)};"):
        read_file(tmp_path_factory.mktemp("half"), good + "€".encode()[:2], block_bytes)


def joined(corpus: Corpus) -> tuple[str, str]:
    return "".join(corpus.train), "".join(corpus.validation)


def test_one_text_is_split_by_characters(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    text = "häß, " * 21  # 105 characters, 147 bytes; the last tenth would begin inside a word
    path.write_text(text, encoding="utf-8")
    corpus = load_corpus(path)
    assert joined(corpus) == (text[:89], text[89:])
    assert joined(corpus) == joined(corpus)  # may be read again
    assert corpus.name == str(path)
    assert "147 bytes" in corpus.description
    assert corpus.train.size_bytes + corpus.validation.size_bytes == 147


@pytest.mark.skipif(not SHAKESPEARE.exists(), reason="needs the Shakespeare file")
def test_shakespeare_is_split_as_in_nanogpt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLM_EXPLAINER_CACHE", str(tmp_path))
    (tmp_path / downloads.SHAKESPEARE.name).write_bytes(SHAKESPEARE.read_bytes())
    for name in ("shakespeare", "auto"):
        corpus = load_corpus(name)
        train, validation = joined(corpus)
        assert (len(train), len(validation)) == (1_003_854, 111_540)
        assert train + validation == SHAKESPEARE.read_text()
        assert corpus.name == "shakespeare"
        assert not any(block.ends_document for block in corpus.train.blocks())


def test_ten_documents_or_more_are_split_by_document(tmp_path: Path) -> None:
    documents = [f"Story {number}." for number in range(25)]
    path = tmp_path / "stories.txt"
    path.write_text("\n<|endoftext|>\n".join(documents))
    corpus = load_corpus(path)
    assert list(corpus.validation) == ["Story 9.", "Story 19."]
    assert sorted([*corpus.train, *corpus.validation]) == sorted(documents)
    assert "25 documents" in corpus.description


def test_of_fewer_documents_validation_is_the_end_of_each(tmp_path: Path) -> None:
    for name, length in (("a", 50), ("b", 100)):
        (tmp_path / f"{name}.txt").write_text(name * length)
    corpus = load_corpus(tmp_path)
    assert list(corpus.train.blocks()) == [TextBlock("a" * 45, True), TextBlock("b" * 90, True)]
    assert list(corpus.validation.blocks()) == [TextBlock("a" * 5, True), TextBlock("b" * 10, True)]
    assert "validation: the last 10 % of each document" in corpus.description


@settings(deadline=None)
@given(documents=st.lists(texts.filter(bool), min_size=1, max_size=9))
def test_splits_joined_are_the_corpus(
    documents: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("folder")
    for number, document in enumerate(documents):
        (folder / f"{number}.txt").write_bytes(document.encode())
    corpus = load_corpus(folder)
    assert corpus.whole is not None
    assert "".join(corpus.whole) == "".join(documents)
    parts = [
        "".join(block.text + "|" * block.ends_document for block in text.blocks()).split("|")
        for text in (corpus.train, corpus.validation)
    ]
    learned, held_out = ([part for part in each if part] for each in parts)
    assert sorted("".join(documents)) == sorted("".join([*learned, *held_out]))
    for head in learned:
        assert any(document.startswith(head) for document in documents)
    for tail in held_out:
        assert any(document.endswith(tail) for document in documents)


def test_a_document_in_several_pieces_stays_in_one_split(tmp_path: Path) -> None:
    long = "A long one.\n" * 200_000  # 2.4 MB
    path = tmp_path / "stories.txt"
    path.write_text("<|endoftext|>".join(([long] + ["Short."] * 8 + ["Tenth."]) * 5))
    corpus = load_corpus(path)
    assert list(corpus.validation) == ["Tenth."] * 5
    assert len(list(corpus.train)) > 50
    assert "50 documents; validation: 5 whole documents, evenly spread" in corpus.description


def test_a_folder_is_read_in_order_and_only_its_text(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/code.py", ".git/hidden.txt", "a/.hidden.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x00")
    (tmp_path / "array.bin").write_bytes(b"\x00\x01")
    found = [path.relative_to(tmp_path).as_posix() for path in find_text_files(tmp_path)]
    assert found == ["a/code.py", "a/z.md", "b.txt"]
    whole = load_corpus(tmp_path).whole
    assert whole is not None
    assert "".join(whole) == "a/code.pya/z.mdb.txt"


def test_max_bytes_takes_the_beginning_and_no_half_character(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("€" * 100, encoding="utf-8")  # 3 bytes each
    assert "".join(joined(load_corpus(path, max_bytes=100))) == "€" * 33
    with pytest.raises(CorpusError, match="max_bytes is 0"):
        load_corpus(path, max_bytes=0)


def test_stories_are_endless_and_their_splits_differ() -> None:
    corpus = load_corpus("stories", seed=3, max_bytes=50_000)
    train, validation = list(corpus.train), list(corpus.validation)
    assert 45_000 <= sum(len(story.encode()) for story in train) < 50_000
    assert 5_000 <= sum(len(story.encode()) for story in validation) < 10_000
    assert not set(train) & set(validation)
    assert train == list(load_corpus("stories", seed=3, max_bytes=50_000).train)
    assert train != list(load_corpus("stories", seed=4, max_bytes=50_000).train)
    assert all(block.ends_document for block in corpus.train.blocks())
    assert "50,000 bytes" in corpus.description


def test_auto_without_a_network_takes_stories_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_network(*args: object, **kwargs: object) -> Path:
        raise CorpusError("no network")

    monkeypatch.setattr(downloads, "download", no_network)
    corpus = load_corpus("auto", max_bytes=10_000)
    assert corpus.name == "stories"
    assert "stories" in corpus.description
    assert "Shakespeare is neither cached" in corpus.description
    with pytest.raises(CorpusError, match="no network"):
        load_corpus("shakespeare")


def test_tinystories_has_a_validation_file_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cached(file: downloads.RemoteFile, **kwargs: object) -> Path:
        path = tmp_path / file.name
        kind = "valid" if "valid" in file.name else "train"
        path.write_text(f"One {kind}.\n<|endoftext|>\nTwo {kind}.\n<|endoftext|>\n")
        return path

    monkeypatch.setattr(downloads, "download", cached)
    corpus = load_corpus("tinystories")
    assert list(corpus.train) == ["One train.", "Two train."]
    assert list(corpus.validation) == ["One valid.", "Two valid."]
    assert "2,250,255,763 bytes" in corpus.description
    short = load_corpus("tinystories", max_bytes=10)
    assert joined(short) == ("One train", "O")


def test_every_name_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CorpusError) as error:
        load_corpus("shakespear")
    for name in ("shakespear'", *corpora.NAMES):
        assert name in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text(""), "is empty"),
        (lambda path: path.mkdir(), "holds no text"),
        (lambda path: path.write_bytes(b"\xff\xfeh\x00i\x00"), "not UTF-8: byte 0xff at offset 0"),
        (lambda path: None, "no corpus or file"),
    ],
)
def test_bad_corpora_are_refused_in_one_line(make, message: str, tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    make(path)
    with pytest.raises(CorpusError, match=message) as error:
        load_corpus(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["", "x" * 5000, "nul\0", "~nobody-of-that-name/text"])
def test_strange_names_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(CorpusError) as error:
        load_corpus(name)
    assert "\n" not in str(error.value)


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.txt"
    path.write_text("text")

    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorpusError, match=r"cannot read .*secret\.txt: Permission denied"):
        load_corpus(path)
