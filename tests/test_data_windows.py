"""Windows: always slices of the corpus, shifted by one; pure functions; nothing left out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from llm_explainer import tokenizer
from llm_explainer.data import (
    document_starts,
    epoch_windows,
    evaluation_windows,
    open_tokens,
    random_windows,
    sliding_windows,
    windows,
)
from llm_explainer.errors import CorpusError
from llm_explainer.training.batches import WindowBatches
from llm_explainer.training.config import TrainConfig

SHARED = Path(__file__).parents[2] / "shared" / "data"
VERDICT = [40, 367, 2885, 1464, 1807, 3619, 402, 271, 10899]  # GPT-2's ids of its first words

sizes = st.integers(1, 12)
steps = st.integers(0, 2**40)
seeds = st.integers(0, 2**40)


def corpus(n_tokens: int) -> NDArray[np.uint16]:
    """Tokens that are their own position, so that a window shows where it was cut out."""
    return np.arange(n_tokens, dtype=np.uint16)


def assert_windows(inputs: NDArray[np.int64], targets: NDArray[np.int64], T: int) -> None:
    """Every row is T tokens in order, and its targets are the tokens that follow."""
    assert inputs.shape[1] == targets.shape[1] == T
    np.testing.assert_array_equal(inputs, inputs[:, :1] + np.arange(T))
    np.testing.assert_array_equal(targets, inputs.astype(np.int64) + 1)


@settings(deadline=None)
@given(T=sizes, extra=st.integers(1, 30), B=sizes, seed=seeds, step=steps)
def test_random_windows_are_slices(T: int, extra: int, B: int, seed: int, step: int) -> None:
    tokens = corpus(T + extra)
    inputs, targets = random_windows(tokens, B, T, seed, step)
    assert inputs.shape == (B, T)
    assert inputs.dtype == targets.dtype == np.int64
    assert_windows(inputs, targets, T)
    again, _ = random_windows(tokens, B, T, seed, step)
    np.testing.assert_array_equal(inputs, again)


def test_random_windows_start_everywhere_equally_often() -> None:
    n, T, batches = 14, 4, 200
    counts = Counter[int]()
    for step in range(batches):
        counts.update(random_windows(corpus(n), 50, T, 0, step)[0][:, 0].tolist())
    assert sorted(counts) == list(range(n - T))  # the last window ends with the last token
    expected = 50 * batches / (n - T)
    assert all(abs(count - expected) < 6 * expected**0.5 for count in counts.values())


def test_other_seeds_and_steps_give_other_batches() -> None:
    batches = {
        random_windows(corpus(10_000), 4, 2, seed, step)[0].tobytes()
        for seed in range(10)
        for step in range(10)
    }
    assert len(batches) == 100


def test_batches_come_from_a_mapped_file_as_from_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", corpus(500))
    mapped = open_tokens(tmp_path / "a.npy")
    for one, other in zip(
        random_windows(mapped, 5, 8, 1, 2), random_windows(corpus(500), 5, 8, 1, 2), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_windows_of_documents_start_at_the_separator_or_after_it() -> None:
    #                  0  1  2  3  4  5  6  7  8
    tokens = np.array([5, 6, 0, 7, 8, 0, 9, 9, 9], np.uint16)
    starts = document_starts(tokens, end_of_text=0, context_length=3)
    assert starts.tolist() == [0, 2, 3, 5]  # 6 has only two tokens after it
    inputs, targets = random_windows(tokens, 100, 3, 0, 0, starts=starts)
    assert {tuple(row) for row in inputs.tolist()} == {
        (5, 6, 0),
        (0, 7, 8),
        (7, 8, 0),
        (0, 9, 9),
    }
    np.testing.assert_array_equal(inputs[:, 1:], targets[:, :-1])
    evaluated = np.concatenate(
        [batch for batch, _ in evaluation_windows(tokens, 2, 3, starts=starts)]
    )
    np.testing.assert_array_equal(evaluated, tokens[starts[:, None] + np.arange(3)])


@settings(deadline=None)
@given(tokens=st.lists(st.integers(0, 2), min_size=2, max_size=40), block=st.integers(1, 9))
def test_document_starts_do_not_depend_on_the_block(tokens: list[int], block: int) -> None:
    array = np.array([*tokens, 0, 1, 1], np.uint16)
    expected = document_starts(array, 0, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK", block)
        np.testing.assert_array_equal(document_starts(array, 0, 1), expected)


def test_documents_without_separators_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"no end-of-text token \(id 99\) among 10 tokens"):
        document_starts(corpus(10), 99, 3)


def test_sliding_windows_on_the_verdict() -> None:
    inputs, targets = sliding_windows(np.array(VERDICT, np.uint16), 4, 4)
    assert inputs.tolist() == [[40, 367, 2885, 1464], [1807, 3619, 402, 271]]
    assert targets.tolist() == [[367, 2885, 1464, 1807], [3619, 402, 271, 10899]]


@pytest.mark.skipif(not (SHARED / "the-verdict.txt").exists(), reason="needs the-verdict.txt")
def test_the_verdict_through_the_gpt2_tokenizer() -> None:
    gpt2 = tokenizer.BPETokenizer.from_gpt2(SHARED / "gpt2_vocab.json", SHARED / "gpt2_merges.txt")
    tokens = np.array(gpt2.encode((SHARED / "the-verdict.txt").read_text()), np.uint16)
    inputs, targets = sliding_windows(tokens, 4, 1)
    assert inputs[:2].tolist() == [VERDICT[:4], VERDICT[1:5]]
    assert targets[:2].tolist() == [VERDICT[1:5], VERDICT[2:6]]
    assert len(inputs) == len(tokens) - 4


@settings(deadline=None)
@given(T=sizes, extra=st.integers(1, 30), stride=st.integers(1, 15))
def test_sliding_windows_are_slices_a_stride_apart(T: int, extra: int, stride: int) -> None:
    tokens = corpus(T + extra)
    inputs, targets = sliding_windows(tokens, T, stride)
    assert_windows(inputs, targets, T)
    assert inputs[:, 0].tolist() == list(range(0, extra, stride))
    assert np.shares_memory(inputs, tokens)


@settings(deadline=None)
@given(T=sizes, extra=st.integers(1, 60), stride=sizes, B=sizes, seed=seeds)
def test_an_epoch_shows_every_window_once(
    T: int, extra: int, stride: int, B: int, seed: int
) -> None:
    tokens = corpus(T + extra)
    n_windows = len(sliding_windows(tokens, T, stride)[0])
    n_steps = max(1, n_windows // B)
    for epoch in (0, 3):
        starts: list[int] = []
        for step in range(epoch * n_steps, (epoch + 1) * n_steps):
            inputs, targets = epoch_windows(tokens, B, T, stride, seed, step)
            assert_windows(inputs, targets, T)
            starts += inputs[:, 0].tolist()
        assert len(starts) == len(set(starts)) == min(n_windows, n_steps * B)
        assert set(starts) <= set(range(0, extra, stride))


def test_epochs_are_shuffled_anew_and_resumed_exactly() -> None:
    def epoch(number: int, seed: int = 0) -> list[int]:
        steps = range(10 * number, 10 * number + 10)
        return [epoch_windows(corpus(404), 10, 4, 4, seed, step)[0][0, 0] for step in steps]

    first, second = epoch(0), epoch(1)
    assert first != second
    assert first != epoch(0, seed=1)
    windows._epoch_order.cache_clear()  # as in a new process
    assert epoch(1) == second


@settings(deadline=None)
@given(n_tokens=st.integers(2, 80), B=sizes, T=sizes)
def test_evaluation_covers_every_target_once(n_tokens: int, B: int, T: int) -> None:
    seen: list[int] = []
    for inputs, targets in evaluation_windows(corpus(n_tokens), B, T):
        assert inputs.shape[0] <= B
        assert inputs.shape[1] <= T
        assert_windows(inputs, targets, inputs.shape[1])
        seen += targets.ravel().tolist()
    assert seen == list(range(1, n_tokens))


@settings(deadline=None)
@given(n_windows=st.integers(2, 30), B=sizes, T=sizes, seed=seeds, data=st.data())
def test_a_part_of_the_evaluation_is_fixed(
    n_windows: int, B: int, T: int, seed: int, data: st.DataObject
) -> None:
    wanted = data.draw(st.integers(1, n_windows - 1))
    tokens = corpus(n_windows * T + 1 + data.draw(st.integers(0, T - 1)))

    def starts() -> list[int]:
        found: list[int] = []
        for inputs, targets in evaluation_windows(tokens, B, T, max_windows=wanted, seed=seed):
            assert_windows(inputs, targets, T)
            found += inputs[:, 0].tolist()
        return found

    assert len(starts()) == len(set(starts())) == wanted
    assert starts() == sorted(starts())
    assert all(start % T == 0 for start in starts())


def test_too_few_tokens_name_both_lengths() -> None:
    calls = (
        lambda: random_windows(corpus(8), 2, 8, 0, 0),
        lambda: sliding_windows(corpus(8), 8, 1),
        lambda: epoch_windows(corpus(8), 2, 8, 1, 0, 0),
        lambda: document_starts(corpus(8), 0, 8),
    )
    for call in calls:
        with pytest.raises(CorpusError, match=r"has 8 tokens, .* takes 9 .* of 7 or less"):
            call()
    with pytest.raises(CorpusError, match="has 1 tokens; it takes 2"):
        next(evaluation_windows(corpus(1), 2, 8))
    with pytest.raises(CorpusError, match="stride is 0"):
        sliding_windows(corpus(20), 8, 0)


def test_a_run_can_take_each_window_once_an_epoch():
    tokens = np.arange(41, dtype=np.uint16)
    config = TrainConfig(batch_size=2, windows="epochs")
    batches = WindowBatches(tokens, tokens, 4, config)
    epoch = [batches.training(index) for index in range(5)]  # ten windows, two at a time
    seen = sorted(int(row[0]) for batch in epoch for row in batch.tokens)
    assert seen == list(range(0, 40, 4))
