"""How much data, as people write it: fractions, amounts, and everything that is neither."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_explainer.data.corpora import load_corpus
from llm_explainer.data.data_size import UNITS, parse_data_size, write_data_size
from llm_explainer.errors import CorpusError

AVAILABLE = 1_003_854  # of Shakespeare, to train on

sizes = st.integers(1, 10**12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", 100_385),
        (" 0.1\n", 100_385),
        ("1", AVAILABLE),
        ("1.0", AVAILABLE),
        ("1.000", AVAILABLE),
        ("0.000001", 1),
        ("2", 2),
        ("50000", 50_000),
        ("007", 7),
        ("100k", 100_000),
        (" 10K ", 10_000),
        ("1m", 1_000_000),
        ("1M", 1_000_000),
        ("0.5m", 500_000),
        ("1.003854m", AVAILABLE),
        ("0.001g", 1_000_000),
        ("1003854", AVAILABLE),
    ],
)
def test_sizes(text: str, expected: int) -> None:
    assert parse_data_size(text, AVAILABLE) == expected


@pytest.mark.parametrize(
    ("text", "needle"),
    [
        ("", "'' is not a size"),
        (" ", "' ' is not a size"),
        ("abc", "'abc' is not a size"),
        ("nan", "'nan' is not a size"),
        ("inf", "'inf' is not a size"),
        ("-1", "'-1' is not a size"),
        ("-5k", "'-5k' is not a size"),
        ("+5k", "is not a size"),
        ("1e400", "is not a size"),
        ("1e3", "is not a size"),
        ("10^12", "is not a size"),
        ("10 k", "is not a size"),
        ("1,000", "is not a size"),
        ("1_000", "is not a size"),
        ("10kb", "is not a size"),
        ("k", "is not a size"),
        (".5", "is not a size"),
        ("1.", "is not a size"),
        ("50%", "is not a size"),
        ("٣k", "is not a size"),  # a digit, but not one of ours
        ("9" * 5000, "is not a size"),
        ("0", "'0' leaves no text"),
        ("0.0", "'0.0' leaves no text"),
        ("0k", "leaves no text"),
        ("0.0000001", "leaves no text"),
        ("0.0001k", "leaves no text"),
        ("2.0", "'2.0' is a fraction above 1"),
        ("1.01", "is a fraction above 1"),
        ("1000000000000", "is 1,000,000,000,000 bytes, and there are 1,003,854"),
        ("1.1m", "is 1,100,000 bytes, and there are 1,003,854"),
        ("1003855", "there are 1,003,854"),
    ],
)
def test_what_is_no_size(text: str, needle: str) -> None:
    with pytest.raises(CorpusError) as told:
        parse_data_size(text, AVAILABLE)
    assert needle in str(told.value)
    assert "0.1" in str(told.value) or "all of it" in str(told.value)
    assert len(str(told.value)) < 200
    assert "\n" not in str(told.value)


@given(st.text(max_size=20), sizes)
def test_any_text_is_a_size_that_there_is_or_refused(text: str, available: int) -> None:
    try:
        size = parse_data_size(text, available)
    except CorpusError:
        return
    assert 1 <= size <= available


@given(st.integers(2, 10**12), st.sampled_from(sorted(UNITS)), st.integers(0, 10))
def test_amounts_count_bytes(number: int, unit: str, more: int) -> None:
    expected = number * UNITS[unit]
    assert parse_data_size(f"{number}{unit.upper()}", expected + more) == expected


@given(st.floats(0.001, 1), sizes)
def test_fractions_are_of_what_there_is(fraction: float, available: int) -> None:
    text = f"{fraction:.6f}"
    if round(float(text) * available) >= 1:
        assert parse_data_size(text, available) == round(float(text) * available)


@given(sizes)
def test_what_is_written_is_read_to_three_digits(n_bytes: int) -> None:
    text = write_data_size(n_bytes)
    assert len(text) <= 6
    if text not in "01":  # a fraction
        assert parse_data_size(text, 10**13) == pytest.approx(n_bytes, rel=0.005)


# The beginning of a text


@given(st.integers(1, 700))
def test_the_first_bytes_are_a_prefix(n_bytes: int) -> None:
    text = load_corpus("stories", max_bytes=1000).train
    beginning, whole = "".join(text.first(n_bytes)), "".join(text)
    assert whole.startswith(beginning)
    assert len(beginning) == n_bytes  # the stories are ASCII
    # A cut is no end of a story.
    assert [p.ends_document for p in text.first(n_bytes).blocks()][-1] is False


@pytest.mark.parametrize("n_bytes", [0, -1, 901])
def test_as_much_as_there_is(n_bytes: int) -> None:
    with pytest.raises(CorpusError, match="take 1 to 900"):
        load_corpus("stories", max_bytes=1000).train.first(n_bytes)


def test_a_character_is_never_cut(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("aé" * 100, encoding="utf-8")
    text = load_corpus(tmp_path / "text.txt").train
    assert "".join(text.first(5)) == "aéa"
