"""Bytes as text with five characters for every four of them, where base64 takes five and a third.

The characters are none that markup gives a meaning: a page holds them as they are.
"""

from __future__ import annotations

import numpy as np

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%()*+,-./:;=?@[]^_{}"
"""The 85 digits, the smallest first; ``page/base85.js`` has the same."""


def to_base85(data: bytes) -> str:
    """Return four bytes at a time as a number of five digits, the largest digit first.

    What lacks bytes at the end is filled with zeros, and has as many digits less.

    >>> to_base85(b"four"), to_base85(b"five!")
    ('W@Z,J', 'W?(b1Ap')
    """
    missing = -len(data) % 4
    words = np.frombuffer(data + bytes(missing), ">u4").astype(np.uint32)  # (W,)
    digits = words[:, None] // 85 ** np.arange(4, -1, -1, dtype=np.uint32) % 85  # (W, 5)
    text: str = np.frombuffer(ALPHABET.encode(), np.uint8)[digits].tobytes().decode()
    return text[: len(text) - missing]
