"""Where the texts of a batch end, and what their next tokens must not see."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_explainer.text_lengths import TextLengths


@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=5), n_tokens=st.integers(1, 4))
def test_each_token_sees_its_text_up_to_itself(lengths: list[int], n_tokens: int) -> None:
    texts = TextLengths(len(lengths))
    texts.move_to(np.array(lengths))
    assert texts.longest == max(lengths)
    assert texts.agree == (len(set(lengths)) == 1)
    everywhere = (len(lengths), n_tokens)
    positions = np.broadcast_to(texts.positions(n_tokens), everywhere)
    n_keys = max(lengths) + n_tokens
    unseen = texts.unseen(n_tokens)
    hidden = np.broadcast_to(False if unseen is None else unseen, (*everywhere, n_keys))
    for row, length in enumerate(lengths):
        for t in range(n_tokens):
            assert positions[row, t] == length + t
            assert (~hidden[row, t]).sum() == length + t + 1
            assert not hidden[row, t, : length + t + 1].any()


@pytest.mark.parametrize("lengths", [[3, 3], [3, 5]])
def test_answers_follow_the_texts(lengths: list[int]) -> None:
    texts = TextLengths(2)
    assert texts.positions(1).tolist() == [0]
    assert texts.unseen(1) is None
    texts.move_to(np.array(lengths))
    assert texts.positions(1).reshape(-1).tolist() == sorted(set(lengths))
    assert (texts.unseen(1) is None) == (lengths == [3, 3])


def test_the_callers_array_stays_its_own() -> None:
    texts, lengths = TextLengths(2), np.array([1, 2])
    texts.move_to(lengths)
    lengths += 5
    assert texts.lengths.tolist() == [1, 2]


@pytest.mark.parametrize("lengths", [[3, 3], [3, 5]])
def test_texts_that_grow_together(lengths: list[int]) -> None:
    texts, moved = TextLengths(2), TextLengths(2)
    texts.move_to(np.array(lengths))
    before = texts.lengths
    assert texts.positions(1).max() == texts.longest
    assert (texts.unseen(1) is None) == texts.agree
    texts.advance(4)
    moved.move_to(np.array(lengths) + 4)
    assert before.tolist() == lengths  # who holds the old array may go on using it
    assert texts.lengths.tolist() == moved.lengths.tolist()
    assert (texts.longest, texts.agree) == (moved.longest, moved.agree)
    for n_tokens in (1, 3):
        np.testing.assert_array_equal(texts.positions(n_tokens), moved.positions(n_tokens))
        np.testing.assert_array_equal(texts.unseen(n_tokens), moved.unseen(n_tokens))
