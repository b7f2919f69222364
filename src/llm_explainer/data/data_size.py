"""How much of a corpus to train on, as a person writes it: a fraction, or an amount of text."""

from __future__ import annotations

import re
from fractions import Fraction

from llm_explainer.errors import CorpusError

EXAMPLES = "a fraction up to 1, such as 0.1, or bytes of text, such as 50000, 100k, 1.5m"

UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "g": 1_000_000_000}
_NUMBER = re.compile(r"([0-9]{1,15})(\.[0-9]{1,15})?([kmg]?)", re.IGNORECASE)


def parse_data_size(text: str, available: int) -> int:
    """Return the bytes of text that a person means.

    A number up to 1, or with a decimal point, is a fraction of what there is; any other whole
    number counts bytes, and so does one with a unit: k, m or g for 10³, 10⁶ or 10⁹ of them.

    >>> parse_data_size("0.1", 500_000), parse_data_size("1", 500_000)
    (50000, 500000)
    >>> parse_data_size("50000", 500_000), parse_data_size("1.5k", 500_000)
    (50000, 1500)

    Args:
        text: as typed; white space around it and the case of a unit do not matter
        available: bytes of training text that the corpus has

    Raises:
        CorpusError: neither a fraction nor an amount, nothing at all, or more than there is.
    """
    match = _NUMBER.fullmatch(text.strip())
    if not match:
        raise CorpusError(f"data size {_quote(text)} is not a size; it takes {EXAMPLES}")
    whole, decimals, unit = match[1], match[2] or "", match[3].lower()
    number = Fraction(whole + decimals)  # exact, where a float would round large amounts
    is_fraction = not unit and (decimals or number <= 1)
    if is_fraction and number > 1:
        raise CorpusError(f"data size {_quote(text)} is a fraction above 1; it takes {EXAMPLES}")
    size = round(number * (available if is_fraction else UNITS[unit]))
    if size < 1:
        raise CorpusError(f"data size {_quote(text)} leaves no text to train on; take {EXAMPLES}")
    if size > available:
        raise CorpusError(
            f"data size {_quote(text)} is {size:,} bytes, and there are {available:,} to train on; "
            f"take up to that, or 1 for all of it"
        )
    return size


def write_data_size(n_bytes: int) -> str:
    """Return an amount of text in few characters, for names and tables.

    >>> write_data_size(100_385), write_data_size(1_500_000), write_data_size(999)
    ('100k', '1.5m', '999')
    """
    for unit, scale in (("g", 10**9), ("m", 10**6), ("k", 10**3)):
        if n_bytes >= scale:
            return f"{float(f'{n_bytes / scale:.3g}'):g}{unit}"
    return str(n_bytes)


def _quote(text: str) -> str:
    """Return what was typed, in quotes; of a very long one the beginning."""
    return repr(text if len(text) <= 40 else text[:40] + "...")
