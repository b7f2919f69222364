"""The patterns with a name as rules: there are two families, and they differ in their digits."""

from __future__ import annotations

from typing import NamedTuple


class Rule(NamedTuple):
    """What the compiled core and NumPy need to know of a pattern."""

    as_gpt4: bool  # of GPT-4's family: a sign may go with the letters behind it, and so on
    digits: int  # at most so many in a word; 0 for any number, with the space before them


RULES = {
    "gpt2": Rule(False, 0),
    "smollm": Rule(False, 1),
    "gpt4": Rule(True, 3),
    "llama3": Rule(True, 3),
    "qwen": Rule(True, 1),
}
"""The rule of every pattern with a name."""
