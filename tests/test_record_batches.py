"""Batches of records: every record once an epoch, like lengths together, answers alone counted."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_explainer.config import ModelConfig
from llm_explainer.data.records import (
    EncodedRecord,
    Records,
    encode_records,
    story_records,
)
from llm_explainer.data.stories import split_questions
from llm_explainer.data.tokenizer_specs import open_tokenizer
from llm_explainer.errors import CorpusError
from llm_explainer.numpy_backend import GPT
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.packing import pack
from llm_explainer.training.record_batches import RecordBatches, make_batch, padding_of
from llm_explainer.tree import flatten

PAD = 0


def record(name: int, length: int) -> EncodedRecord:
    """Return a record of ``length`` tokens, all of them ``name``, the last two trained."""
    trained = np.arange(length) >= length - 2
    return EncodedRecord(np.full(length, name, np.uint16), trained)


def batches_of(lengths: list[int], batch_size: int, seed: int = 0) -> RecordBatches:
    train = Records.of([record(i + 1, length) for i, length in enumerate(lengths)])
    validation = Records.of([record(i + 1, 3 + i % 5) for i in range(10)])
    config = TrainConfig(batch_size=batch_size, seed=seed)
    return RecordBatches(train, validation, 64, config, pad=PAD)


def names(batches: RecordBatches, indices: range) -> list[list[int]]:
    return [batches.training(i).tokens[:, 0].tolist() for i in indices]


@given(st.lists(st.integers(2, 60), min_size=1, max_size=60), st.integers(1, 9), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_record_comes_once_an_epoch(lengths: list[int], size: int, epoch: int) -> None:
    size = min(size, len(lengths))
    batches = batches_of(lengths, size)
    n_steps = batches.steps_per_epoch
    assert n_steps == -(-len(lengths) // size)
    dealt = names(batches, range(epoch * n_steps, (epoch + 1) * n_steps))
    assert Counter(name for batch in dealt for name in batch) == Counter(range(1, len(lengths) + 1))
    assert min(map(len, dealt)) + 1 >= max(map(len, dealt)) <= size
    rows = np.concatenate([batches.training(i).mask.sum(1) for i in range(n_steps)])
    assert sorted(rows) == sorted(min(length - 1, 2) for length in lengths)


def test_a_batch_is_a_pure_function_of_seed_and_index() -> None:
    lengths = np.random.default_rng(0).integers(5, 30, 101).tolist()
    first = batches_of(lengths, 8)
    dealt = names(first, range(60))
    again = batches_of(lengths, 8)
    for index in (59, 3, 26, 0, 13):
        assert names(again, range(index, index + 1)) == dealt[index : index + 1]
    assert names(batches_of(lengths, 8, seed=1), range(13)) != dealt[:13]
    assert dealt[:13] != dealt[13:26]
    one_by_one = batches_of(lengths * 3, 1)
    shapes = [one_by_one.training(i).tokens.shape[1] for i in range(60)]
    assert shapes != sorted(shapes)  # the short ones do not come first


@pytest.mark.parametrize("n_records", [24, 400])
def test_a_record_meets_others_in_each_epoch(n_records: int) -> None:
    lengths = np.arange(n_records) % 50 + 5
    batches = batches_of(lengths.tolist(), 4)
    n_steps = batches.steps_per_epoch
    neighbours = [
        {
            frozenset(batch)
            for batch in names(batches, range(epoch * n_steps, (epoch + 1) * n_steps))
        }
        for epoch in range(4)
    ]
    assert all(len(a & b) < n_steps / 2 for a in neighbours for b in neighbours if a is not b)


def test_rows_are_filled_up_on_the_right_and_only_answers_count() -> None:
    train = Records.of(
        [
            EncodedRecord(np.array([5, 6, 7, 9], np.uint16), np.array([0, 0, 1, 1], bool)),
            EncodedRecord(np.array([5, 9, 9], np.uint16), np.array([1, 0, 1], bool)),
        ]
    )
    batches = RecordBatches(train, train, 3, TrainConfig(batch_size=2), pad=9)
    batch = batches.training(0)
    order = np.argsort(batch.targets[:, 0])  # whichever row came first
    assert batch.tokens[order].tolist() == [[5, 6, 7], [5, 9, 9]]
    assert batch.targets[order].tolist() == [[6, 7, 9], [9, 9, 9]]
    # The end token, which also fills up, counts where it is an answer's and nowhere else.
    assert batch.mask[order].tolist() == [[0, 1, 1], [0, 1, 0]]


def test_validation_takes_every_record_or_a_fixed_sample() -> None:
    batches = batches_of([5] * 8, 4)
    everything = np.concatenate([batch.tokens[:, 0] for batch in batches.validation()])
    assert sorted(everything.tolist()) == list(range(1, 11))
    samples = [[b.tokens.tolist() for b in batches.validation(6)] for _ in range(2)]
    assert samples[0] == samples[1]
    assert sum(map(len, samples[0])) == 6


def test_the_stories_questions_need_little_padding() -> None:
    tokenizer = open_tokenizer("stories:1280").tokenizer
    questions = split_questions(2000, 10, 0).train
    records = Records.of(encode_records(story_records(questions), tokenizer, 192)[0])
    for batch_size in (4, 16, 32):
        config = TrainConfig(batch_size=batch_size)
        batches = RecordBatches(records, records, 192, config, pad=PAD)
        dealt = [batches.training(i) for i in range(batches.steps_per_epoch)]
        n_places = sum(batch.tokens.size for batch in dealt)
        n_inputs = len(records.ids) - len(records)
        assert batches.padding_share() == 1 - n_inputs / n_places <= 0.03


@pytest.mark.parametrize(
    ("lengths", "batch_size", "message"),
    [
        ([5, 5, 5], 4, "3 records to train on and a batch takes 4; use a batch_size of 3 or less"),
        ([5, 66, 70], 2, "record 2 has 66 tokens and the context takes 65"),
        ([5, 1, 5], 2, "record 2 has no token to learn"),
    ],
)
def test_records_that_make_no_batch_are_refused(
    lengths: list[int], batch_size: int, message: str
) -> None:
    with pytest.raises(CorpusError, match=message):
        batches_of(lengths, batch_size)


# --- packing ---------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(40, 50))
@settings(max_examples=60, deadline=None)
def test_windows_hold_everything_once_and_no_two_have_room_for_each_other(
    lengths: list[int], room: int
) -> None:
    windows = pack(np.array(lengths), room)
    assert sorted(np.concatenate(windows).tolist()) == list(range(len(lengths)))
    fills = sorted(int(np.sort(lengths)[window].sum()) for window in windows)
    assert fills[-1] <= room
    assert len(fills) == 1 or fills[0] + fills[1] > room


def packed(n_records: int, batch_size: int = 4) -> tuple[list[int], RecordBatches]:
    lengths = np.random.default_rng(2).integers(2, 30, n_records).tolist()
    train = Records.of([record(i + 1, length) for i, length in enumerate(lengths)])
    config = TrainConfig(batch_size=batch_size)
    return lengths, RecordBatches(train, train, 64, config, pad=PAD, packing=True)


def test_packed_windows_hold_every_record_once_an_epoch_beside_others_each_time() -> None:
    lengths, batches = packed(200)
    n_steps = batches.steps_per_epoch
    neighbours = []
    for epoch in range(2):
        seen: Counter[int] = Counter()
        together = set()
        for index in range(epoch * n_steps, (epoch + 1) * n_steps):
            batch = batches.training(index)
            assert batch.tokens.shape[1] <= 64
            for row, numbers in zip(batch.tokens, batch.segments, strict=True):
                parts = [row[numbers == number] for number in range(numbers[0], numbers[-1] + 1)]
                parts = [part for part in parts if part[0] != PAD]
                assert all(len(set(part.tolist())) == 1 for part in parts)
                assert [len(part) + 1 for part in parts] == [lengths[part[0] - 1] for part in parts]
                seen.update(int(part[0]) for part in parts)
                together.add(frozenset(int(part[0]) for part in parts))
        assert seen == Counter(range(1, 201))
        neighbours.append(together)
    assert len(neighbours[0] & neighbours[1]) < len(neighbours[0]) / 4
    records = [record(i + 1, length) for i, length in enumerate(lengths)]
    assert padding_of(records, 64, 4, packing=True) == batches.padding_share() < 0.03
    assert padding_of(records, 64, 4) > 0.04
    assert n_steps == -(-sum(length - 1 for length in lengths) // 64 // 4)


def test_a_packed_window_trains_what_its_records_train_by_themselves() -> None:
    """The model's logits are those of each record alone, so loss and gradients are as well."""
    config = ModelConfig(vocab_size=60, d_model=16, n_layers=2, n_heads=2, context_length=64)
    model = GPT(config, seed=1)
    rng = np.random.default_rng(0)
    rows = [
        EncodedRecord(rng.integers(0, 60, n).astype(np.uint16), rng.random(n) < 0.5)
        for n in (9, 17, 5, 21)
    ]
    for row in rows:
        row.trained[-1] = True
    records = Records.of(rows)
    together = make_batch(records, [np.arange(4)], PAD, segments=True)
    apart = make_batch(records, list(np.arange(4)[:, None]), PAD)
    assert together.tokens.shape == (1, 48)
    assert together.n_counted == apart.n_counted
    loss, grads = model.loss_and_grads(*together)
    loss_apart, grads_apart = model.loss_and_grads(*apart)
    assert loss == pytest.approx(loss_apart, abs=1e-6)
    for name, grad in flatten(grads).items():
        np.testing.assert_allclose(grad, flatten(grads_apart)[name], atol=1e-6)


def test_fewer_windows_than_a_batch_are_refused() -> None:
    with pytest.raises(CorpusError, match=r"2 windows full of records .* batch_size of 2 or less"):
        packed(6, batch_size=3)
