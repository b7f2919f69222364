"""What a model is given, checked in one place for both backends: shape, type and range of arrays.

An id under 0 would count from the table's end, one above the vocabulary is whatever lies in memory
to MLX, and PyTorch's -100 for "does not count" is a number like any other here. So nothing of that
reaches a layer. It costs two passes over the ids, and no pass over logits.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from llm_explainer.batch import Batch
from llm_explainer.errors import ConfigError

_ABSENT = object()  # since None is what a caller may give by mistake
_POINTS_TO_MASK = "; to leave a target out, put any id there and 0 into mask"


def check_batch(
    vocab_size: int,
    tokens: Any,
    targets: Any = _ABSENT,
    mask: Any = None,
    segments: Any = None,
    n_counted: Any = None,
) -> None:
    """Refuse what is no batch for a model of ``vocab_size`` tokens. None is no mask or segments.

    Args:
        vocab_size: V
        tokens: (B, T) ids in [0, V)
        targets: (B, T) ids in [0, V)
        mask: (B, T) of 0 and 1
        segments: (B, T) whole numbers
        n_counted: a number of tokens

    Raises:
        ConfigError: names the argument, the value, and where it stands.
    """
    shape = check_ids("tokens", tokens, vocab_size).shape
    if len(shape) != 2:
        _refuse("tokens", f"has shape {shape}; (B, T) is expected, rows of ids")
    if targets is not _ABSENT:
        _require_shape("targets", check_ids("targets", targets, vocab_size).shape, shape)
    if mask is not None:
        check_mask(mask, shape)
    if segments is not None:
        numbers = _numbers("segments", segments, "iub", "whole numbers")
        _require_shape("segments", numbers.shape, shape)
    if n_counted is not None and not _is_amount(n_counted):
        _refuse("n_counted", f"is {n_counted!r}; a number of tokens is expected")


def check_ids(name: str, values: Any, vocab_size: int) -> NDArray[Any]:
    """Return an array of ids as NumPy's; those of it must be in [0, vocab_size).

    Raises:
        ConfigError: another type, no ids at all, or one that is out of range.
    """
    ids = _numbers(name, values, "iu", "ids are whole numbers")
    if not ids.size:
        _refuse(name, f"has shape {ids.shape}, so there are no ids in it")
    if ids.min() < 0 or ids.max() >= vocab_size:
        place = tuple(map(int, np.argwhere((ids < 0) | (ids >= vocab_size))[0]))
        hint = _POINTS_TO_MASK if name == "targets" else ""
        _refuse(f"{name}{list(place)}", f"is {ids[place]}; ids are 0 to {vocab_size - 1}{hint}")
    return ids


def check_mask(mask: Any, shape: Sequence[int]) -> None:
    """Refuse a mask that is not of this shape, or holds anything but 0 and 1.

    Raises:
        ConfigError: says where.
    """
    numbers = _numbers("mask", mask, "biuf", "0 and 1 are expected")
    _require_shape("mask", numbers.shape, tuple(shape))
    wrong = (numbers != 0) & (numbers != 1)
    if wrong.any():
        place = tuple(map(int, np.argwhere(wrong)[0]))
        _refuse(f"mask{list(place)}", f"is {numbers[place]}; 0 and 1 are expected")


def check_batches(vocab_size: int, batches: Any, n_counted: Any = None) -> None:
    """Refuse what a training step cannot take: each is a ``Batch``, and there is one or more.

    Raises:
        ConfigError: as ``check_batch``.
    """
    if not isinstance(batches, (list, tuple)) or not batches:
        _refuse("batches", f"is {_kind(batches)}; a list of one Batch or more is expected")
    for batch in batches:
        if not isinstance(batch, Batch):
            _refuse("batches", f"holds something {_kind(batch)}; a Batch is expected")
        check_batch(vocab_size, *batch, n_counted)


def check_next(
    vocab_size: int,
    tokens: Any,
    cache: Any,
    lengths: Any = None,
    segments: Any = None,
    known: bool = False,
) -> None:
    """Refuse what generation cannot go on from.

    Args:
        vocab_size: V
        tokens: (B, T) ids in [0, V)
        cache: of as many rows, or None
        lengths: (B,) from 1 to T, or None
        segments: (B, T) whole numbers, or None
        known: that the ids are the model's own, so that nobody has to wait for them to be computed

    Raises:
        ConfigError: names the argument, the value, and where it stands.
    """
    if not known:
        check_batch(vocab_size, tokens, segments=segments)
    n_rows, n_tokens = tokens.shape
    if cache is not None and len(cache.lengths) != n_rows:
        _refuse("tokens", f"has {n_rows} rows, and the cache holds {len(cache.lengths)} texts")
    if lengths is None:
        return
    numbers = _numbers("lengths", lengths, "iu", "whole numbers are expected")
    _require_shape("lengths", numbers.shape, (n_rows,))
    wrong = (numbers < 1) | (numbers > n_tokens)
    if wrong.any():
        place = int(np.argmax(wrong))
        _refuse(f"lengths[{place}]", f"is {numbers[place]}; 1 to {n_tokens} are expected")


def check_limit(limit: Any, vocab_size: int) -> None:
    """Refuse a number of ids to choose from that is not None or from 1 to the model's.

    Raises:
        ConfigError: says what it is.
    """
    if limit is None:
        return
    try:
        fits = not isinstance(limit, bool) and 1 <= operator.index(limit) <= vocab_size
    except TypeError:
        fits = False
    if not fits:
        _refuse("vocab_size", f"is {limit!r}; 1 to {vocab_size} are expected")


def check_logits(logits: Any, targets: Any, mask: Any) -> None:
    """Refuse what has no cross-entropy: logits (..., V), targets (...) in [0, V), mask (...).

    Raises:
        ConfigError: names the argument, the value, and where it stands.
    """
    if not hasattr(logits, "shape") or "float" not in str(getattr(logits, "dtype", None)):
        _refuse("logits", f"is {_kind(logits)}; an array of floats is expected")
    if not logits.shape or 0 in logits.shape:
        _refuse("logits", f"has shape {tuple(logits.shape)}; (..., V) is expected")
    shape = tuple(logits.shape[:-1])
    found = check_ids("targets", targets, logits.shape[-1])
    _require_shape("targets", found.shape, shape, "logits without their last axis")
    if mask is not None:
        check_mask(mask, shape)


def _numbers(name: str, values: Any, kinds: str, expected: str) -> NDArray[Any]:
    """Return an array, of NumPy or MLX, as NumPy's."""
    if not (hasattr(values, "shape") and hasattr(values, "dtype")):
        _refuse(name, f"is {_kind(values)}; an array is expected")
    try:
        array = np.asarray(values)
    except Exception:  # of an array of whatever library, in a type that NumPy lacks
        _refuse(name, f"holds {values.dtype}; {expected}")
    if array.dtype.kind not in kinds:
        _refuse(name, f"holds {array.dtype}; {expected}")
    return array


def _require_shape(
    name: str, found: Sequence[int], shape: Sequence[int], what: str = "tokens"
) -> None:
    if tuple(found) != tuple(shape):
        _refuse(name, f"has shape {tuple(found)}; {tuple(shape)} is expected, that of {what}")


def _is_amount(value: Any) -> bool:
    try:
        return not isinstance(value, bool) and math.isfinite(value) and value >= 0
    except (TypeError, ValueError, OverflowError):
        return False


def _kind(value: Any) -> str:
    return "None" if value is None else f"of type {type(value).__name__}"


def _refuse(what: str, reason: str) -> NoReturn:
    raise ConfigError(f"{what} {reason}")
