"""Tokens on a console: visible, in lines that fit, and where two tokenizers differ."""

from __future__ import annotations

import io
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tokenizer_cases import SAMPLE, texts

from llm_explainer.console.comparison import common_cuts
from llm_explainer.console.tokens import (
    ASCII,
    UNICODE,
    Token,
    TokenPainter,
    cut_characters,
    tokens_of,
    visible,
)
from llm_explainer.tokenizer import BPETokenizer

TOKENIZER = BPETokenizer.train([SAMPLE], 320)


def console_of(width=80, **options):
    file = io.TextIOWrapper(io.BytesIO(), encoding=options.pop("encoding", "utf-8"))
    return Console(file=file, width=width, **options)


def in_colour(width=80):
    return console_of(width, force_terminal=True, color_system="truecolor", no_color=False)


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b" the", "·the"),
        (b"\n\n", "↵↵"),
        (b"\ta\r", "→a\\r"),
        ("naï".encode()[:3], "na\\xc3"),
        ("🙂".encode()[2:], "\\x99\\x82"),
        (b"\x1b[31m\x00\x7f", "\\x1b[31m\\x00\\x7f"),  # what would change a terminal's colours
        ("\u202eabc\u00a0".encode(), "\\u202eabc\\u00a0"),
        ("\U000e0001".encode(), "\\U000e0001"),
        ("\u0301a\u0301".encode(), "◌\u0301a\u0301"),
    ],
)
def test_nothing_of_a_token_is_invisible(data, shown):
    assert visible(data, UNICODE) == shown


def test_a_terminal_that_knows_only_ascii_gets_other_signs():
    assert visible(b" a\n\t", ASCII) == "_a\\n\\t"
    assert TokenPainter(console_of(encoding="ascii")).glyphs is ASCII


@given(st.binary(max_size=30))
def test_what_is_shown_is_always_one_printable_line(data):
    shown = visible(data, UNICODE)
    assert shown.isprintable()
    assert bool(shown) == bool(data)


@given(texts, st.integers(10, 40), st.booleans())
def test_the_lines_hold_every_token_in_order_and_fit(text, width, coloured):
    console = (
        in_colour(width) if coloured else console_of(width, force_terminal=True, no_color=True)
    )
    painter = TokenPainter(console)
    tokens = tokens_of(TOKENIZER, TOKENIZER.encode(text))
    lines = list(painter.lines(tokens))
    assert all(line.cell_len <= width for line in lines)
    border = "" if coloured else "│"
    expected = "".join(painter.show(token) + border for token in tokens)
    assert "".join(line.plain for line in lines) == expected


def test_lines_break_between_tokens_and_behind_an_end_of_line():
    tokens = [Token(0, data, False) for data in (b"one", b" two", b"\n", b" three", b"a\n\nb")]
    lines = TokenPainter(in_colour(9)).lines(tokens)
    assert [line.plain for line in lines] == ["one·two↵", "·threea↵", "↵", "b"]
    lines = TokenPainter(console_of(force_terminal=True, no_color=True, width=9)).lines(tokens)
    assert [line.plain for line in lines] == ["one│·two│", "↵│", "·three│a↵", "↵", "b│"]
    lines = TokenPainter(in_colour(4)).lines([Token(0, b"abcdefghij", False)])
    assert [line.plain for line in lines] == ["abcd", "efgh", "ij"]


def test_neighbours_differ_in_colour():
    painter = TokenPainter(in_colour())
    tokens = [Token(0, b"a", False)] * 12
    styles = [painter.style(place, token) for place, token in enumerate(tokens)]
    assert all(left != right for left, right in pairwise(styles))
    assert painter.style(0, Token(0, b"<|x|>", True)) not in styles


def test_characters_that_tokens_share_are_named():
    assert cut_characters([b"na\xc3", b"\xaf!", b"ve"]) == ["ï", "ï", ""]
    assert cut_characters(["🙂".encode()[:1], "🙂".encode()[1:3], b"\x82\xc3", b"\xa9"]) == [
        "🙂",
        "🙂",
        "🙂é",
        "é",
    ]
    assert cut_characters([b"\xff", b"a\x80"]) == ["", ""]


@given(texts, texts.filter(bool))
def test_common_cuts_cover_the_text_and_are_as_small_as_can_be(text, sample):
    tokenizers = TOKENIZER, BPETokenizer.train([sample + "ab"], 280, special_tokens=[])
    left, right = (
        [t.data for t in tokens_of(one, one.encode_ordinary(text))] for one in tokenizers
    )
    places = list(common_cuts(left, right))
    assert [token for a, _ in places for token in left[a]] == left
    assert [token for _, b in places for token in right[b]] == right
    for a, b in places:
        assert b"".join(left[a]) == b"".join(right[b])
        ends = [
            {len(b"".join(tokens[part][:n])) for n in range(1, part.stop - part.start)}
            for tokens, part in ((left, a), (right, b))
        ]
        assert not ends[0] & ends[1]
