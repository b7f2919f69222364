"""Two tokenizers on one text: counts, both cuts, and where they differ."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from llm_explainer.console.tables import show_table
from llm_explainer.console.tokens import Token, TokenPainter

SIDE_BY_SIDE = 100
"""Cells of a console from which on two texts have room beside each other."""

_GAP = 3  # cells between them


@dataclass(frozen=True)
class Cut:
    """What one tokenizer makes of the text."""

    name: str
    vocab_size: int
    n_tokens: int
    tokens: Sequence[Token]  # all of them, or of a long text the first


def counts_line(text: str, cut: Cut) -> str:
    """Return how many tokens there are, and how much of the text one of them holds."""
    n_chars, n_bytes, per_token = len(text), len(text.encode()), 1 / max(cut.n_tokens, 1)
    return (
        f"{cut.n_tokens:,} {'token' if cut.n_tokens == 1 else 'tokens'} for {n_chars:,} "
        f"characters, {n_bytes:,} bytes: {n_chars * per_token:.2f} characters, "
        f"{n_bytes * per_token:.2f} bytes a token"
    )


def counts_table(text: str, cuts: Sequence[Cut]) -> Table:
    """Return how many tokens each has, and how much of the text one of them holds."""
    n_chars, n_bytes = len(text), len(text.encode())
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("", style="dim")
    for cut in cuts:
        table.add_column(cut.name, justify="right", overflow="fold")
    table.add_row("vocabulary", *(f"{cut.vocab_size:,}" for cut in cuts))
    table.add_row("tokens", *(f"{cut.n_tokens:,}" for cut in cuts))
    table.add_row("characters a token", *(f"{n_chars / max(cut.n_tokens, 1):.2f}" for cut in cuts))
    table.add_row("bytes a token", *(f"{n_bytes / max(cut.n_tokens, 1):.2f}" for cut in cuts))
    return table


def show_tokens(console: Console, cut: Cut, n_shown: int) -> None:
    """Show the first ``n_shown`` tokens of a text, and say what is left out."""
    for line in TokenPainter(console).lines(cut.tokens[:n_shown]):
        console.print(line, soft_wrap=True)
    if left := cut.n_tokens - min(n_shown, len(cut.tokens)):
        console.print(f"... and {left:,} tokens more; --tokens N shows more")


def show_texts(console: Console, cuts: Sequence[Cut], n_shown: int) -> None:
    """Show the same beginning of the text for all, beside each other where there is room.

    The beginning is what ``n_shown`` tokens hold for the one whose tokens hold least.
    """
    painter = TokenPainter(console)
    ends = [list(accumulate(len(token.data) for token in cut.tokens[:n_shown])) for cut in cuts]
    n_bytes = min(end[-1] if end else 0 for end in ends)
    shown = [cut.tokens[: bisect_right(end, n_bytes)] for cut, end in zip(cuts, ends, strict=True)]
    heads = [Text(cut.name, "bold") for cut in cuts]
    if console.is_terminal and console.width >= SIDE_BY_SIDE:
        width = (console.width - _GAP) // 2
        grid = Table.grid(padding=(0, _GAP, 0, 0))
        for _ in cuts:
            grid.add_column(width=width)
        grid.add_row(*heads)
        grid.add_row(*(Group(*painter.lines(tokens, width)) for tokens in shown))
        console.print(grid)
    else:
        for head, tokens in zip(heads, shown, strict=True):
            for line in (head, *painter.lines(tokens)):
                console.print(line, soft_wrap=True)
    if any(cut.n_tokens > len(tokens) for cut, tokens in zip(cuts, shown, strict=True)):
        console.print(f"... the first {n_bytes:,} bytes; --tokens N shows more")


def show_differences(console: Console, cuts: tuple[Cut, Cut], n_rows: int) -> None:
    """Show where the two do not cut alike, in at most ``n_rows`` rows."""
    left, right = (cut.tokens for cut in cuts)
    try:
        places = list(common_cuts([t.data for t in left], [t.data for t in right]))
    except ValueError:  # a tokenizer of words, say, which drops white space
        console.print("One of them does not keep all of the text, so their cuts do not compare.")
        return
    differing = [(left[a], right[b]) for a, b in places if a.stop - a.start + b.stop - b.start > 2]
    if not differing:
        console.print("Both cut this text at the same places.")
        return
    line = Text(f"{len(differing):,}", "bold")
    line.append(
        f" of {len(places):,} stretches between common cuts are cut differently:", "not bold"
    )
    console.print(line)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for cut in cuts:
        table.add_column(cut.name, overflow="fold")
        table.add_column("ids", overflow="fold")
    painter = TokenPainter(console)
    for pair in differing[:n_rows]:
        cells: list[Text] = []
        for tokens in pair:
            cells += painter.row(tokens), Text(" ".join(str(token.id) for token in tokens))
        table.add_row(*cells)
    show_table(console, table)
    if len(differing) > n_rows:
        console.print(f"and {len(differing) - n_rows:,} more; --rows N shows more")


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
