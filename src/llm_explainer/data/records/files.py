"""Encoded records on disk, read by memory mapping: three flat arrays for each split.

``train-ids.npy`` holds the tokens of all records one after the other, ``train-trained.npy`` for
each token whether it is a target, ``train-starts.npy`` where each record begins, and the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llm_explainer.data.records.encoding import EncodedRecord
from llm_explainer.data.token_files import Tokens
from llm_explainer.errors import CorpusError
from llm_explainer.files import open_atomically

PARTS = ("ids", "trained", "starts")


class Records:
    """Encoded records as flat arrays, in memory or mapped from files.

    Args:
        ids: (n,) of all records
        trained: (n,) whether a token is a target
        starts: (k + 1,) where the k records begin, and n
    """

    def __init__(self, ids: Tokens, trained: NDArray[np.bool_], starts: NDArray[np.int64]) -> None:
        self.ids, self.trained, self.starts = ids, trained, starts

    @classmethod
    def of(cls, records: Sequence[EncodedRecord]) -> Records:
        """Return records as flat arrays in memory.

        Raises:
            CorpusError: no records.
        """
        if not records:
            raise CorpusError("there are no records; it takes one or more")
        lengths = [len(record.ids) for record in records]
        return cls(
            np.concatenate([record.ids for record in records]),
            np.concatenate([record.trained for record in records]),
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        )

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, place: int) -> EncodedRecord:
        if not 0 <= place < len(self):
            raise IndexError(f"record {place} of {len(self)}")
        here = slice(self.starts[place], self.starts[place + 1])
        return EncodedRecord(self.ids[here], self.trained[here])

    def __iter__(self) -> Iterator[EncodedRecord]:
        return (self[place] for place in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """The number of tokens of each record, (k,)."""
        return np.diff(self.starts)


def record_files(split: str) -> tuple[str, ...]:
    """Return the names of the files that a split of records is kept in."""
    return tuple(f"{split}-{part}.npy" for part in PARTS)


def write_records(folder: str | Path, split: str, records: Sequence[EncodedRecord]) -> None:
    """Write records into a folder; each file appears whole or not at all, the starts last.

    Raises:
        CorpusError: no records, or a folder that cannot be written.
    """
    flat = Records.of(records)
    for part in PARTS:
        path = Path(folder) / f"{split}-{part}.npy"
        try:
            with open_atomically(path) as file:
                np.lib.format.write_array(file, getattr(flat, part), allow_pickle=False)
        except OSError as error:
            raise CorpusError(f"cannot write {path}: {error.strerror or error}") from error


def open_records(folder: str | Path, split: str) -> Records:
    """Return the records that ``write_records`` wrote, memory-mapped and read-only.

    Raises:
        CorpusError: files that are missing, damaged or do not belong together.
    """
    ids, trained, starts = (_open(Path(folder) / f"{split}-{part}.npy") for part in PARTS)
    fits = (
        (ids.ndim, trained.ndim, starts.ndim) == (1, 1, 1)
        and (ids.dtype.kind, trained.dtype.kind, starts.dtype.kind) == ("u", "b", "i")
        and len(ids) == len(trained)
        and len(starts) > 1
        and (starts[0], starts[-1]) == (0, len(ids))
        and bool((np.diff(starts) > 0).all())
    )
    if not fits:
        raise CorpusError(
            f"the files {split}-*.npy in {folder} do not belong together or are damaged; encode "
            "the records again"
        )
    return Records(ids, trained, np.array(starts))


def _open(path: Path) -> NDArray[Any]:
    try:
        # Knows neither pickles nor archives; a plain array of the same memory is indexed faster.
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))
    except FileNotFoundError:
        raise CorpusError(f"no file {path}; encode the records again") from None
    except Exception as error:  # a damaged header can make NumPy raise nearly anything
        reason = " ".join(str(error).split())
        raise CorpusError(f"{path} is damaged ({reason}); encode the records again") from error
