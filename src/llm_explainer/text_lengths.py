"""Where the texts of a batch end, and so where their next tokens stand.

The key-value caches of both backends count by it. Every layer asks the same questions at every
step, so the answers are kept until the texts grow.

Letters: B texts, T tokens that come next, S keys that the last of them sees.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]
Mask = NDArray[np.bool_]


class TextLengths:
    """The lengths of B texts.

    Attributes:
        lengths: (B,), to be changed by ``move_to`` alone.
        longest: the largest of them.
        agree: whether all are equal.
    """

    def __init__(self, batch_size: int) -> None:
        self.move_to(np.zeros(batch_size, np.int64))

    def move_to(self, lengths: Positions) -> None:
        """Let the texts have these lengths, (B,)."""
        self.lengths: Positions = np.array(lengths, np.int64)  # (B,)
        values = self.lengths.tolist()  # for so few numbers Python is faster than NumPy
        self.longest = max(values)
        self.agree = self.longest == min(values)
        self._forget_answers()

    def advance(self, n_tokens: int) -> None:
        """Let every text be ``n_tokens`` longer."""
        self.lengths = self.lengths + n_tokens
        self.longest += n_tokens
        self._forget_answers()

    def positions(self, n_tokens: int) -> Positions:
        """Return where the next tokens stand: (T,) where all texts agree, else (B, T)."""
        if n_tokens not in self._positions:
            if self.agree:
                positions = np.arange(self.longest, self.longest + n_tokens)
            else:
                positions = self.lengths[:, None] + np.arange(n_tokens)
            self._positions[n_tokens] = positions
        return self._positions[n_tokens]

    def unseen(self, n_tokens: int, window: int = 0) -> Mask | None:
        """Return which of the S keys each of the next tokens must not see; None where none is.

        The token at position p sees the keys up to p, with a window the last so many of them.
        (T, S) where all texts agree, else (B, T, S).
        """
        if (n_tokens, window) not in self._unseen:
            n_keys = self.longest + n_tokens
            sees_all = self.agree and n_tokens == 1 and not 0 < window < n_keys
            self._unseen[n_tokens, window] = None if sees_all else self._hidden(n_tokens, window)
        return self._unseen[n_tokens, window]

    def _hidden(self, n_tokens: int, window: int) -> Mask:
        keys, places = np.arange(self.longest + n_tokens), self.positions(n_tokens)[..., None]
        hidden: Mask = keys > places
        if window:
            hidden |= keys <= places - window
        return hidden

    def _forget_answers(self) -> None:
        self._positions: dict[int, Positions] = {}
        self._unseen: dict[tuple[int, int], Mask | None] = {}
