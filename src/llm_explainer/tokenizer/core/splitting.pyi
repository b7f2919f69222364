import numpy as np
from numpy.typing import NDArray

def word_ends(
    data: bytes, classes: NDArray[np.uint8], as_gpt4: bool, digits: int
) -> NDArray[np.int32]:
    """Return where every word of ``data`` ends, in bytes (n_words,).

    Args:
        data: UTF-8 under 2 GiB; 0xFF stands for a special token, and is a word of its own.
        classes: of every code point, from fast/character_classes.py.
        as_gpt4, digits: of the pattern, from fast/rules.py.
    """
