import numpy as np
from numpy.typing import NDArray

def decode(ids: list[int] | NDArray[np.int64], tokens: bytes, starts: NDArray[np.int64]) -> bytes:
    """Return the bytes of all ids, one after the other.

    Args:
        ids: a list, or an array that is not empty.
        tokens: the bytes of token after token, and 16 bytes more.
        starts: where each token begins in them, and where the last one ends.

    Raises:
        IndexError: an id that is negative, or not less than the number of tokens.
        TypeError, OverflowError: an element of the list that is no whole number, or far too large.
    """
