"""Where two tokenizers cut the same text differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise


def common_cuts(left: Sequence[bytes], right: Sequence[bytes]) -> Iterator[tuple[slice, slice]]:
    """Yield which tokens each has of a text between every two places where both cut it.

    ``[a, bc, d]`` and ``[ab, c, d]`` both cut before and after the d alone, so their places are
    ``0:2, 0:2`` and then ``2:3, 2:3``. Where one has less of the text than the other, the last
    place is the last that both reach.

    Raises:
        ValueError: the two are not tokens of one text.
    """
    texts = b"".join(left), b"".join(right)
    if not texts[0].startswith(texts[1]) and not texts[1].startswith(texts[0]):
        raise ValueError("the tokens are not those of one text")
    left_at = {end: place for place, end in enumerate(accumulate(map(len, left), initial=0))}
    right_at = {end: place for place, end in enumerate(accumulate(map(len, right), initial=0))}
    for start, end in pairwise(sorted(left_at.keys() & right_at.keys())):
        yield slice(left_at[start], left_at[end]), slice(right_at[start], right_at[end])
