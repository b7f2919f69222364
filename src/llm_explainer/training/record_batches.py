"""Batches of records, for fine-tuning: like lengths together, and only the answers count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llm_explainer.batch import Batch
from llm_explainer.data.records import EncodedRecord, Records
from llm_explainer.errors import CorpusError
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.packing import Places, dealt, pack

Rows = list[Places]
"""Of each row of a batch the records in it, by their places."""

CHUNK_BATCHES = 64  # whose records are sorted by length together


def longest_row(records: Records, packing: bool) -> int | None:
    """Return the most inputs of a record; None where packed rows are as long as the context."""
    return None if packing else int(records.lengths.max()) - 1


class RecordBatches:
    """Batches of records, every record once an epoch.

    An epoch deals the records in an order of its own: shuffled, then sorted by length within
    chunks of many batches, so that a batch holds records of like length and little padding, and yet
    other records together each time. The batches of an epoch then come in any order. Where B does
    not divide the number of rows, some batches have one row less than others.

    Args:
        train: the records to learn from
        validation: the records to be judged by
        context_length: of the model
        config: batch size and seed
        pad: the id that fills up a batch on the right; what it is changes nothing, for the mask
            goes by position
        packing: whether a row is a window full of records, rather than one record

    Raises:
        CorpusError: fewer rows than a batch takes, a record without a target, or one longer than
            the context.
    """

    def __init__(
        self,
        train: Records,
        validation: Records,
        context_length: int,
        config: TrainConfig,
        *,
        pad: int,
        packing: bool = False,
    ) -> None:
        for records in (train, validation):
            _check(records, context_length)
        self._train, self._validation = train, validation
        self._lengths = train.lengths - 1  # a record of n tokens is n - 1 inputs
        self._windows = pack(self._lengths, context_length) if packing else None
        self._config, self._pad = config, pad
        n_rows = len(train) if self._windows is None else len(self._windows)
        if n_rows < config.batch_size:
            what = "records" if self._windows is None else "windows full of records"
            raise CorpusError(
                f"there are {n_rows:,} {what} to train on and a batch takes "
                f"{config.batch_size:,}; use a batch_size of {n_rows:,} or less"
            )
        self.steps_per_epoch = -(-n_rows // config.batch_size)
        self._dealt: tuple[int, list[Rows]] = -1, []  # an epoch, and its batches

    def training(self, index: int) -> Batch:
        """Return batch ``index``: (B, T), (B, T), mask (B, T); T goes by its longest row."""
        epoch, place = divmod(index, self.steps_per_epoch)
        rows = self._epoch(epoch)[place]
        return make_batch(self._train, rows, self._pad, segments=self._windows is not None)

    def validation(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield all validation records, the short ones first, or a fixed sample of so many."""
        places = np.arange(len(self._validation))
        if max_windows is not None and max_windows < len(places):
            places = np.sort(np.random.default_rng(0).choice(places, max_windows, replace=False))
        places = places[np.argsort(self._validation.lengths[places], kind="stable")]
        for first in range(0, len(places), self._config.batch_size):
            rows = places[first : first + self._config.batch_size, None]
            yield make_batch(self._validation, list(rows), self._pad)

    def padding_share(self, epoch: int = 0) -> float:
        """Return the share of an epoch's places that are filled up, 0 to 1."""
        fills = [[int(self._lengths[row].sum()) for row in rows] for rows in self._epoch(epoch)]
        n_places = sum(len(batch) * max(batch) for batch in fills)
        return 1 - int(self._lengths.sum()) / n_places

    def _epoch(self, epoch: int) -> list[Rows]:
        """Return the batches of an epoch."""
        if self._dealt[0] != epoch:
            rng = np.random.default_rng([self._config.seed, epoch])
            rows: Rows = list(np.arange(len(self._train))[:, None])
            if self._windows is not None:
                rows = dealt(self._windows, self._lengths, rng)
            fills = np.array([self._lengths[row].sum() for row in rows])
            batches = _deal(fills, self.steps_per_epoch, rng)
            self._dealt = epoch, [[rows[place] for place in batch] for batch in batches]
        return self._dealt[1]


def padding_of(
    records: Sequence[EncodedRecord],
    context_length: int,
    batch_size: int,
    *,
    packing: bool = False,
) -> float:
    """Return the share of places that batches of these records would fill up, 0 to 1.

    Raises:
        CorpusError: as ``RecordBatches``; no records.
    """
    flat = Records.of(records)
    config = TrainConfig(batch_size=batch_size)
    batches = RecordBatches(flat, flat, context_length, config, pad=0, packing=packing)
    return batches.padding_share()


def make_batch(records: Records, rows: Rows, pad: int, *, segments: bool = False) -> Batch:
    """Return rows of records as one batch, filled up on the right with ``pad``.

    The mask is 1 where the target is a trained token of the same record. Filled-up places come
    after all that counts, so no attention from there reaches a token that does.

    Args:
        records: that the rows name
        rows: of each the places of its records, which stand one behind the other
        pad: an id
        segments: whether to number the records of each row, from 0; what is filled up is one more
    """
    parts = [[records[int(place)] for place in row] for row in rows]
    fills = [sum(len(record.ids) - 1 for record in row) for row in parts]
    shape = len(rows), max(fills)  # (B, T)
    tokens, targets = np.full(shape, pad, np.int64), np.full(shape, pad, np.int64)
    mask, numbers = np.zeros(shape, np.float32), np.zeros(shape, np.int64)
    for i, row in enumerate(parts):
        at = 0
        for number, record in enumerate(row):
            here = slice(at, at + len(record.ids) - 1)
            tokens[i, here], targets[i, here] = record.ids[:-1], record.ids[1:]
            mask[i, here], numbers[i, here] = record.trained[1:], number
            at = here.stop
        numbers[i, at:] = len(row)
    return Batch(tokens, targets, mask, numbers if segments else None)


def _deal(lengths: Places, n_batches: int, rng: np.random.Generator) -> list[Places]:
    """Return the batches of an epoch, as places of rows whose ``lengths`` (k,) are given."""
    order = rng.permutation(len(lengths))
    bounds = np.arange(n_batches + 1) * len(lengths) // n_batches  # sizes differ by one at most
    # Of few batches, fewer are sorted together, or each epoch would have the same neighbours.
    chunk = min(CHUNK_BATCHES, max(1, n_batches // 4))
    for first in range(0, n_batches, chunk):
        part = slice(bounds[first], bounds[min(first + chunk, n_batches)])
        order[part] = order[part][np.argsort(lengths[order[part]], kind="stable")]
    batches = [order[bounds[i] : bounds[i + 1]] for i in range(n_batches)]
    return [batches[i] for i in rng.permutation(n_batches)]


def _check(records: Records, context_length: int) -> None:
    """Refuse records that no batch could hold, or that would train nothing.

    Raises:
        CorpusError: naming the first.
    """
    too_long = np.flatnonzero(records.lengths > context_length + 1)
    if len(too_long):
        place = int(too_long[0])
        raise CorpusError(
            f"record {place + 1:,} has {records.lengths[place]:,} tokens and the context takes "
            f"{context_length + 1:,}; encode the records for this context"
        )
    counted = records.trained.astype(np.int64)
    counted[records.starts[:-1]] = 0  # a record's first token follows nothing
    without = np.flatnonzero(np.add.reduceat(counted, records.starts[:-1]) == 0)
    if len(without):
        raise CorpusError(
            f"record {int(without[0]) + 1:,} has no token to learn; leave such records out"
        )
