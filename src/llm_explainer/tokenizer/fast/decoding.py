"""From ids to bytes; the readable way is ``PatternTokenizer.decode_bytes``."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from llm_explainer.tokenizer import core

_FEW_IDS = 64  # below which arrays cost more than they gain
_BLOCK_IDS = 1 << 16
_PADDING = bytes(16)


class FastDecoder(ABC):
    """Puts tokens together.

    Args:
        vocab: the bytes of every id.
    """

    def __init__(self, vocab: Mapping[int, bytes]) -> None:
        self._list = [vocab.get(token_id, b"") for token_id in range(max(vocab, default=-1) + 1)]
        self._has_token: NDArray[np.bool_] | None = None  # of every id, where some have none
        if len(vocab) < len(self._list):
            self._has_token = np.array([token_id in vocab for token_id in range(len(self._list))])
        self._tokens = b"".join(self._list) + _PADDING
        self._starts = np.cumsum([0, *map(len, self._list)], dtype=np.int64)

    def decode(self, ids: object) -> bytes | None:
        """Return the bytes of the ids; None where one is unknown or no whole number."""
        try:
            if isinstance(ids, list):
                if self._has_token is not None and not self._has_token[ids or [0]].all():
                    return None
                return self._of_list(ids)
            array = np.asarray(ids)
            if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
                return None
            if self._has_token is not None and not self._has_token[array].all():
                return None
            return self._of_array(array)
        except (LookupError, TypeError, ValueError, OverflowError, struct.error):
            return None

    @abstractmethod
    def _of_list(self, ids: list[int]) -> bytes:
        """Return the bytes of ids; raise what these deserve."""

    @abstractmethod
    def _of_array(self, ids: NDArray[np.integer]) -> bytes:
        """Return the bytes of ids (n,), n > 0; raise what these deserve."""


class CoreDecoder(FastDecoder):
    """The compiled core does it."""

    def _of_list(self, ids: list[int]) -> bytes:
        return core.decoding.decode(ids, self._tokens, self._starts)

    def _of_array(self, ids: NDArray[np.integer]) -> bytes:
        return core.decoding.decode(ids.astype(np.int64), self._tokens, self._starts)


class NumpyDecoder(FastDecoder):
    """NumPy does it, block by block; of a few ids, Python."""

    def __init__(self, vocab: Mapping[int, bytes]) -> None:
        super().__init__(vocab)
        eights = np.ndarray((len(self._tokens) - 8,), "<u8", self._tokens, 0, (1,))
        self._firsts = eights[self._starts[:-1]]  # eight bytes of every token, or of the next too

    def _of_list(self, ids: list[int]) -> bytes:
        if len(ids) < _FEW_IDS:
            if min(ids, default=0) < 0:  # as an index it would count from the end
                raise LookupError
            return b"".join(map(self._list.__getitem__, ids))
        blocks = (ids[i : i + _BLOCK_IDS] for i in range(0, len(ids), _BLOCK_IDS))
        # `struct` takes a list apart three times as fast as `np.array`.
        packed = (struct.pack(f"{len(block)}q", *block) for block in blocks)
        return b"".join(self._gather(np.frombuffer(data, np.int64)) for data in packed)

    def _of_array(self, ids: NDArray[np.integer]) -> bytes:
        starts = range(0, len(ids), _BLOCK_IDS)
        return b"".join(self._gather(ids[i : i + _BLOCK_IDS].astype(np.int64)) for i in starts)

    def _gather(self, ids: NDArray[np.int64]) -> bytes:
        """Return the bytes of a block of ids.

        Eight bytes of every token are written from left to right, where it belongs: what is too
        much the next token overwrites. The rest of longer tokens follows, byte by byte.

        Raises:
            LookupError: an unknown id.
        """
        if ids.min() < 0:
            raise LookupError
        starts = self._starts[ids]
        sizes = self._starts[ids + 1] - starts
        ends = np.cumsum(sizes)
        places = ends - sizes
        text = np.empty(int(ends[-1]) + 8, np.uint8)
        np.ndarray((int(ends[-1]) + 1,), "<u8", text, 0, (1,))[places] = self._firsts[ids]
        long = np.flatnonzero(sizes > 8)
        if long.size:
            rests = sizes[long] - 8
            offsets = np.arange(int(rests.sum())) - np.repeat(np.cumsum(rests) - rests, rests)
            source = np.frombuffer(self._tokens, np.uint8)
            text[np.repeat(places[long] + 8, rests) + offsets] = source[
                np.repeat(starts[long] + 8, rests) + offsets
            ]
        return text[:-8].tobytes()
