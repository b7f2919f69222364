"""What the fast tokenizer is built of: tables of keys, processes that help, a held collector."""

from __future__ import annotations

import gc
from unittest import mock

import numpy as np
import pytest
from tokenizer_cases import SAMPLE, use

from llm_explainer import worker_pool
from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.fast import choice, encoding
from llm_explainer.tokenizer.fast.key_table import KeyTable
from llm_explainer.tokenizer.fast.numpy_encoding import NumpyEncoder
from llm_explainer.tokenizer.fast.word_counts import WordCounts
from llm_explainer.tokenizer.readable.cuts import last_cut


def test_words_in_use_are_merged_once() -> None:
    with use(False), mock.patch.object(encoding, "MOST_WORDS", 100):
        tokenizer = BPETokenizer.train([SAMPLE], 300)
        encoder = tokenizer._fast_encoder._words
        assert isinstance(encoder, NumpyEncoder)
        with (
            mock.patch.object(encoder, "_merge", wraps=encoder._merge) as long,
            mock.patch.object(
                encoder._merges, "merge_rows", wraps=encoder._merges.merge_rows
            ) as rows,
        ):
            for start in range(0, 1000, 20):
                numbers = " ".join(f"n{number}" for number in range(start, start + 20))
                tokenizer.encode_array(f"{numbers} the {'y' * 40}")
        assert long.call_count == 1
        n_merged = sum(len(call.args[1]) for call in rows.call_args_list)
        assert n_merged == len(["n", " n", " the", *range(1000)])


def test_a_stream_without_blanks_is_searched_once_for_them() -> None:
    n_searched = 0

    def counting(text: str) -> int:
        nonlocal n_searched
        n_searched += len(text)
        return last_cut(text)

    tokenizer = BPETokenizer.train([SAMPLE], 300)
    with mock.patch.object(encoding, "last_cut", counting):
        ids = list(tokenizer.encode_iterable("z" * 1024 for _ in range(200)))
    assert len(ids) == 200 * 1024
    assert n_searched < 50_000


def test_keys_keep_their_numbers() -> None:
    rng, table = np.random.default_rng(8), KeyTable()
    numbers: dict[tuple[int, int], int] = {}
    for _ in range(30):
        low = rng.integers(0, 50, 400).astype(np.uint64) << np.uint64(50)
        high = rng.integers(1, 60, 400).astype(np.uint64)
        for number, *key in zip(table.find_or_add(low, high), low, high, strict=True):
            assert numbers.setdefault((int(key[0]), int(key[1])), int(number)) == number
    assert sorted(numbers.values()) == list(range(len(table)))
    assert table.find(np.array([1], np.uint64), np.array([7], np.uint64)).tolist() == [-1]


def test_most_slots_stay_empty() -> None:
    table = KeyTable()
    for start in range(1, 20_000, 700):  # or a search for what is not there would take long
        keys = np.arange(start, start + 700, dtype=np.uint64)
        table.add(keys, keys)
        assert 2 * len(table) < len(table._slots) <= max(2048, 8 * len(table))


@pytest.mark.parametrize("is_on", [True, False])
def test_the_garbage_collector_is_as_it_was(is_on: bool) -> None:
    during: list[bool] = []

    def stop(*_: object) -> None:
        during.append(gc.isenabled())
        raise KeyboardInterrupt

    counts = {bytes([byte, byte + 1]): 2 for byte in range(100)}
    try:
        (gc.enable if is_on else gc.disable)()
        with (
            use(False),
            pytest.raises(KeyboardInterrupt),
        ):
            choice.learn_merges(WordCounts.of(counts), 64, progress=stop)
        assert gc.isenabled() == is_on
    finally:
        gc.enable()
    assert during == [False]


def _stop(_argument: object, _pieces: object) -> None:
    raise SystemExit(1)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_worker_that_stops_is_reported() -> None:
    with worker_pool.HelperPool(1, _stop, 0) as helpers:
        assert helpers.takes(b"a")
        with pytest.raises(TokenizerError, match="2 workers could not start"):
            list(helpers.results())
