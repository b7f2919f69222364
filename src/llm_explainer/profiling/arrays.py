"""Arrays that time what is done to them, through the hooks that NumPy has for this.

NumPy hands every operation on a subclass of ``ndarray`` to its ``__array_ufunc__`` (NumPy
enhancement proposal 13). So the model's code stays as it is: its parameters and buffers are made
as ``TimedArray`` here, whatever is computed from them is one too, and each operation reports its
kind, its seconds, its floating-point operations and the bytes that it touched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from llm_explainer.profiling.clock import Clock

PRODUCTS, ELEMENTWISE, MOVING = "matrix products", "elementwise", "moving data"
KINDS = (PRODUCTS, ELEMENTWISE, MOVING)

_MAKERS = ("empty", "zeros", "ones", "full", "frombuffer")
"""NumPy's functions that make arrays from nothing; all others take their type from an argument."""

Array = NDArray[Any]


class TimedArray(np.ndarray[Any, Any]):
    """An array whose operations are counted by ``clock``, while there is one."""

    clock: ClassVar[Clock | None] = None

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        """Run an operation on plain arrays, timed; the result is timed again."""
        arguments = [_plain(x) for x in inputs]
        if out is not None:
            kwargs["out"] = tuple(_plain(x) for x in out)
        call = getattr(ufunc, method)
        result = _timed(_kind_of(ufunc, method), call, arguments, kwargs)
        if out is not None:
            return out[0]
        return result.view(TimedArray) if isinstance(result, np.ndarray) else result

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        """Time ``np.dot``, which is no ufunc; the others are views, or end in ufuncs."""
        if func is np.dot:
            return _timed(PRODUCTS, func, [_plain(x) for x in args], kwargs)
        return super().__array_function__(func, types, args, kwargs)

    def __getitem__(self, key: Any) -> Any:
        """Look up: a slice is a view and free, a list of places makes a copy."""
        if not _is_lookup(key):
            return super().__getitem__(key)
        return _timed(MOVING, super().__getitem__, [key], {})

    def __setitem__(self, key: Any, value: Any) -> None:
        """Copy values into the array."""
        _timed(MOVING, _plain(self).__setitem__, [key, _plain(value)], {})

    def fill(self, value: Any) -> None:
        """Set every number."""
        _timed(MOVING, _plain(self).fill, [value], {}, touched=self.nbytes)

    def astype(self, *args: Any, **kwargs: Any) -> Any:
        """Convert, which copies."""
        return _timed(MOVING, super().astype, list(args), kwargs, touched=2 * self.nbytes)

    def copy(self, order: Any = "C") -> Any:
        """Copy."""
        return _timed(MOVING, super().copy, [order], {}, touched=2 * self.nbytes)


@contextmanager
def timed_arrays(clock: Clock) -> Iterator[None]:
    """Make NumPy's new arrays ``TimedArray`` inside, and count their operations on ``clock``."""
    originals = {name: getattr(np, name) for name in _MAKERS}

    def timed_maker(make: Callable[..., Array]) -> Callable[..., Array]:
        return lambda *args, **kwargs: make(*args, **kwargs).view(TimedArray)

    TimedArray.clock = clock
    try:
        for name, make in originals.items():
            setattr(np, name, timed_maker(make))
        yield
    finally:
        for name, make in originals.items():
            setattr(np, name, make)
        TimedArray.clock = None


def _timed(
    kind: str,
    call: Callable[..., Any],
    args: list[Any],
    kwargs: dict[str, Any],
    touched: int | None = None,
) -> Any:
    """Call, and count it. ``touched`` bytes default to those of the arguments and the result."""
    start = time.perf_counter()
    result = call(*args, **kwargs)
    seconds = time.perf_counter() - start
    if TimedArray.clock is not None:
        flops = _product_flops(args, result) if kind == PRODUCTS else 0.0
        if touched is None:
            touched = sum(x.nbytes for x in (*args, result) if isinstance(x, np.ndarray))
        TimedArray.clock.count(kind, seconds, flops, touched)
    return result


def _kind_of(ufunc: np.ufunc, method: str) -> str:
    if method == "at":
        return MOVING  # adds numbers at scattered places
    return PRODUCTS if ufunc in (np.matmul, np.vecdot) else ELEMENTWISE


def _product_flops(args: list[Any], result: Any) -> float:
    """Return a multiplication and an addition for every number of the result and every term."""
    n_terms: int = args[0].shape[-1]
    n_results: int = np.size(result)
    return 2.0 * n_results * n_terms


def _is_lookup(key: Any) -> bool:
    keys = key if isinstance(key, tuple) else (key,)
    return any(isinstance(k, (np.ndarray, list)) for k in keys)


def _plain(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, TimedArray) else x
