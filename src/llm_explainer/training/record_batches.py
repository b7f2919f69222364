"""Batches of records, for fine-tuning: like lengths together, and only the answers count."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from llm_explainer.batch import Batch
from llm_explainer.data.records import Records
from llm_explainer.errors import CorpusError
from llm_explainer.training.config import TrainConfig

Places = NDArray[np.int64]

CHUNK_BATCHES = 64  # whose records are sorted by length together


class RecordBatches:
    """Batches of records, every record once an epoch.

    An epoch deals the records in an order of its own: shuffled, then sorted by length within
    chunks of many batches, so that a batch holds records of like length and little padding, and yet
    other records together each time. The batches of an epoch then come in any order. Where B does
    not divide the number of records, some batches have one record less than others.

    Args:
        train: the records to learn from
        validation: the records to be judged by
        context_length: of the model
        config: batch size and seed
        pad: the id that fills up a batch on the right; what it is changes nothing, for the mask
            goes by position

    Raises:
        CorpusError: fewer records than a batch takes, a record without a target, or one longer than
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
    ) -> None:
        if len(train) < config.batch_size:
            raise CorpusError(
                f"there are {len(train):,} records to train on and a batch takes "
                f"{config.batch_size:,}; use a batch_size of {len(train):,} or less"
            )
        for records in (train, validation):
            _check(records, context_length)
        self._train, self._validation = train, validation
        self._config, self._pad = config, pad
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        self._dealt: tuple[int, list[Places]] = -1, []  # an epoch, and its batches

    def training(self, index: int) -> Batch:
        """Return batch ``index``: (B, T), (B, T), mask (B, T); T goes by its longest record."""
        epoch, place = divmod(index, self.steps_per_epoch)
        return pad_records(self._train, self._epoch(epoch)[place], self._pad)

    def validation(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield all validation records, the short ones first, or a fixed sample of so many."""
        places = np.arange(len(self._validation))
        if max_windows is not None and max_windows < len(places):
            places = np.sort(np.random.default_rng(0).choice(places, max_windows, replace=False))
        places = places[np.argsort(self._validation.lengths[places], kind="stable")]
        for first in range(0, len(places), self._config.batch_size):
            chosen = places[first : first + self._config.batch_size]
            yield pad_records(self._validation, chosen, self._pad)

    def padding_share(self, epoch: int = 0) -> float:
        """Return the share of an epoch's places that are filled up, 0 to 1."""
        lengths = self._train.lengths - 1  # a record of n tokens is n - 1 inputs
        n_places = sum(len(batch) * int(lengths[batch].max()) for batch in self._epoch(epoch))
        return 1 - int(lengths.sum()) / n_places

    def _epoch(self, epoch: int) -> list[Places]:
        """Return the batches of an epoch, as places of records."""
        if self._dealt[0] != epoch:
            rng = np.random.default_rng([self._config.seed, epoch])
            self._dealt = epoch, _deal(self._train.lengths, self.steps_per_epoch, rng)
        return self._dealt[1]


def pad_records(records: Records, places: Places, pad: int) -> Batch:
    """Return records as the rows of one batch, filled up on the right with ``pad``.

    The mask is 1 where the target is a trained token of the record. Filled-up places come after all
    that counts, so no attention from there reaches a token that does.
    """
    rows = [records[place] for place in places]
    shape = len(rows), max(len(row.ids) for row in rows) - 1  # (B, T)
    tokens, targets = np.full(shape, pad, np.int64), np.full(shape, pad, np.int64)
    mask = np.zeros(shape, np.float32)
    for i, row in enumerate(rows):
        n = len(row.ids) - 1
        tokens[i, :n], targets[i, :n], mask[i, :n] = row.ids[:-1], row.ids[1:], row.trained[1:]
    return Batch(tokens, targets, mask)


def _deal(lengths: Places, n_batches: int, rng: np.random.Generator) -> list[Places]:
    """Return the batches of an epoch, as places of records whose ``lengths`` (k,) are given."""
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
