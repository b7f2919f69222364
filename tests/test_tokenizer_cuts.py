"""Where a text may be cut: both parts together have the words of the whole, whoever asks."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizer_cases import NASTY_TEXTS, SAMPLE, TRICKY, texts, tricky_text

from llm_explainer.tokenizer import CharTokenizer, WordTokenizer
from llm_explainer.tokenizer.readable import cuts
from llm_explainer.tokenizer.readable.cuts import (
    last_cut,
    last_cut_between_lines,
    last_cut_in_bytes,
    leaves_whole,
    next_cut,
)
from llm_explainer.tokenizer.readable.patterns import PATTERNS
from llm_explainer.tokenizer.readable.splitting import Splitter

SPLITTERS = {name: Splitter(name) for name in PATTERNS} | {
    "characters": Splitter(CharTokenizer.pattern),
    "words": Splitter(WordTokenizer.pattern, lossless=False),
}
every_pattern = pytest.mark.parametrize("splitter", SPLITTERS.values(), ids=SPLITTERS)
some_text = st.one_of(texts, st.text(st.sampled_from(TRICKY), max_size=40))


def places(text: str) -> list[int]:
    """Return every place where a text can be cut."""
    return [match.start() for match in cuts.IN_TEXT.finditer(text)]


@every_pattern
@given(text=some_text)
@example(text="don't \u3000 stop,\nsays 1,000\x1c b\r\nc\n\nd\n!\n e")
def test_a_cut_changes_no_word(splitter: Splitter, text: str) -> None:
    words = splitter.words(text)
    for cut in places(text):
        assert 0 < cut < len(text)
        assert splitter.words(text[:cut]) + splitter.words(text[cut:]) == words


@every_pattern
def test_nor_do_all_of_them_in_texts_that_are_hard_to_cut(splitter: Splitter) -> None:
    rng = random.Random(2)
    for _ in range(1000):
        joint = rng.choice(["", " ", "中\n国", "a\nb", *NASTY_TEXTS, SAMPLE[:80]])
        text = tricky_text(rng) + joint + tricky_text(rng)
        starts = [0, *places(text)]
        blocks = [text[i:j] for i, j in zip(starts, [*starts[1:], len(text)], strict=True)]
        assert [w for block in blocks for w in splitter.words(block)] == splitter.words(text)


@given(text=some_text, end=st.integers(0, 200))
@example(text="a\nだ", end=3)
def test_bytes_are_cut_where_text_is(text: str, end: int) -> None:
    data = text.encode()
    in_bytes = [match.start() for match in cuts.IN_BYTES.finditer(data, 1)]
    assert in_bytes == [len(text[:cut].encode()) for cut in places(text)]
    # What is read of a file may end in the middle of a character.
    assert {match.start() for match in cuts.IN_BYTES.finditer(data[:end], 1)} <= set(in_bytes)


def test_every_character_is_white_or_not_for_both() -> None:
    assert sorted(cuts.WHITE) == [chr(code) for code in range(0x110000) if chr(code).isspace()]
    # All that may be white or near it, and of the rest, which is alike, a part.
    for code in {*range(0x3100), *range(0x3100, 0x110000, 37)}:
        if not 0xD800 <= code < 0xE000:
            text = f"{chr(code)} a{chr(code)}\nb\n{chr(code)},"
            in_bytes = [match.start() for match in cuts.IN_BYTES.finditer(text.encode(), 1)]
            assert in_bytes == [len(text[:cut].encode()) for cut in places(text)]


def test_half_of_a_white_character_may_be_one() -> None:
    for character in cuts.WHITE:
        data = f"a\n{character}".encode()
        assert not [data[:end] for end in range(len(data) + 1) if last_cut_in_bytes(data[:end])]


def test_cuts_are_found() -> None:
    assert next_cut(b"ab cd ef", 3) == 5
    assert next_cut(b"ab\ncd", 1) == 3
    assert next_cut("中文\n中文".encode(), 1) == 7
    assert next_cut("да\nли".encode(), 1) == 5
    assert next_cut(b"a\xffb", 1) == 1
    assert next_cut(b"a  \n b", 1) == 1
    assert next_cut(b"a", 5) == 1
    assert next_cut(b"1,5", 1) == 1
    assert [last_cut(text) for text in ("ab cd  ", "ab\ncd", "a\n\nb", "  ", "")] == [5, 3, 0, 0, 0]
    assert last_cut("one two, three") == 8
    assert last_cut_between_lines("one\ntwo, three\n") == 4
    assert last_cut_between_lines("one two\n\n three") == 0


@given(text=some_text, near=st.integers(0, 9), far=st.integers(0, 20))
def test_the_last_cut_is_the_last_of_all(text: str, near: int, far: int) -> None:
    last = max(places(text), default=0)
    between_lines = [cut for cut in places(text) if text[cut - 1] == "\n"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuts, "_NEAR", near)
        patch.setattr(cuts, "_FAR", far)
        assert last_cut(text) == last
        assert last_cut_in_bytes(text.encode()) == len(text[:last].encode())
    assert last_cut_between_lines(text) == max(between_lines, default=0)


@given(name=some_text)
def test_a_name_without_the_signs_of_a_cut_is_left_whole(name: str) -> None:
    assert not leaves_whole(["<|x|>", name]) or not [cut for cut in places(f"a{name}") if cut > 1]


def test_names_that_a_cut_could_go_through() -> None:
    assert leaves_whole(["<|endoftext|>", "<|x|>\t"])
    assert not any(leaves_whole(["<|x|>", name]) for name in ("<a b>", "<a\nb>", "<a,b>"))
