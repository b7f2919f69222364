"""Tokens as a person can see them: borders, white space, and bytes that are no whole character."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_explainer.tokenizer import Tokenizer

_INK = "#202020"
_PASTELS = [
    f"{_INK} on {paper}" for paper in ("#bfe3ff", "#ffe2a6", "#c9f0c2", "#ffced8", "#ddd3ff")
]
_BASIC = [f"black on {paper}" for paper in ("cyan", "yellow", "green", "magenta", "white")]
_SPECIAL = "bold white on #8a2be2"
_UNLIT = ("#707070 on #e4e4e4", "#707070 on #d6d6d6")
_ENDLESS = 1 << 30
_FAINT = "#8c8c8c"  # of signs that stand for white space, on those papers


@dataclass(frozen=True)
class Token:
    """One token of a text, with all that is shown of it."""

    id: int
    data: bytes  # UTF-8, perhaps only a part of a character
    special: bool
    lit: bool | None = None  # where some tokens matter and others do not, whether this one does


@dataclass(frozen=True)
class Glyphs:
    """Signs for what has none, and for the border between tokens where there is no colour."""

    space: str
    newline: str
    tab: str
    border: str
    carrier: str  # of a combining mark that has lost its letter


UNICODE = Glyphs(space="·", newline="↵", tab="→", border="│", carrier="◌")
ASCII = Glyphs(space="_", newline="\\n", tab="\\t", border="|", carrier="")


def tokens_of(tokenizer: Tokenizer, ids: Iterable[int]) -> list[Token]:
    """Return what there is to show of every id."""
    special = set(tokenizer.special_tokens.values())
    tokens = []
    for token_id in ids:
        data = tokenizer.vocab[token_id]
        data = data.encode() if isinstance(data, str) else data
        tokens.append(Token(token_id, data, token_id in special))
    return tokens


def visible(data: bytes, glyphs: Glyphs) -> str:
    r"""Return bytes as one line of text in which nothing is invisible and nothing can do harm.

    White space becomes the signs of ``glyphs``. A byte that is only a part of a character, and a
    control character, become ``\x9f``; other characters that show nothing become ``\u200d``.
    """
    signs = {" ": glyphs.space, "\n": glyphs.newline, "\t": glyphs.tab, "\r": "\\r"}
    shown: list[str] = []
    # A byte that no character claims comes as a lone surrogate: U+DC00 plus the byte (PEP 383).
    for char in data.decode("utf-8", "surrogateescape"):
        if char in signs:
            shown.append(signs[char])
        elif 0xDC80 <= ord(char) <= 0xDCFF or ord(char) < 0x20 or char == "\x7f":
            shown.append(f"\\x{ord(char) & 0xFF:02x}")
        elif not char.isprintable():
            shown.append(f"\\u{ord(char):04x}" if ord(char) < 0x10000 else f"\\U{ord(char):08x}")
        else:
            lost = not shown and cell_len(char) == 0
            shown.append(glyphs.carrier + char if lost else char)
    return "".join(shown)


class TokenPainter:
    """Shows tokens on a console: on coloured paper, or between borders where there is no colour."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.in_colour = console.color_system is not None and not console.no_color
        self.glyphs = UNICODE if console.encoding.startswith("utf") else ASCII
        self._papers = _BASIC if console.color_system in ("standard", "windows") else _PASTELS

    def style(self, place: int, token: Token) -> str:
        """Return the style of the token at a place of its text."""
        if not self.in_colour:
            return ""
        if token.lit is False:
            return _UNLIT[place % 2] if self._papers is _PASTELS else "dim"
        return _SPECIAL if token.special else self._papers[place % len(self._papers)]

    def show(self, token: Token) -> str:
        """Return a token as one line of text, in brackets if it is lit and there is no colour."""
        shown = visible(token.data, self.glyphs)
        return f"[{shown}]" if token.lit and not self.in_colour else shown

    def cell(self, place: int, token: Token) -> Text:
        """Return a token for a table."""
        return self._faint(Text.assemble((self.show(token), self.style(place, token))))

    def row(self, tokens: Sequence[Token]) -> Text:
        """Return a few tokens in one line."""
        border = "" if self.in_colour else self.glyphs.border
        shown = [self.cell(place, token) for place, token in enumerate(tokens)]
        return Text(border).join(shown)

    def lines(self, tokens: Sequence[Token], width: int | None = None) -> Iterator[Text]:
        """Yield a text in lines of a number of cells, breaking between tokens where it can.

        Without a width, a terminal's is taken, and for a file there is no limit. A line of the text
        ends a line here as well, behind the sign for it.
        """
        if width is None:
            width = self._console.width if self._console.is_terminal else _ENDLESS
        line, room = Text(), width
        for place, token in enumerate(tokens):
            style = self.style(place, token)
            for part, ends_line in self._parts(token):
                if line and cell_len(part) > room:
                    yield self._faint(line)
                    line, room = Text(), width
                *full, rest = chop_cells(part, width)
                for line_part in full:  # of a token that is longer than a line
                    yield self._faint(Text(line_part, style))
                line.append(rest, style)
                room -= cell_len(rest)
                if ends_line:
                    yield self._faint(line)
                    line, room = Text(), width
        if line:
            yield self._faint(line)

    def _parts(self, token: Token) -> Iterator[tuple[str, bool]]:
        """Yield what each line has of a token, and whether the line ends there."""
        newline = self.glyphs.newline
        border = "" if self.in_colour or token.lit else self.glyphs.border
        *lines, rest = (
            self.show(token).split(newline) if b"\n" in token.data else [self.show(token)]
        )
        for number, line in enumerate(lines, 1):
            is_end = number == len(lines) and not rest
            yield line + newline + border * is_end, True
        if rest:
            yield rest + border, False

    def _faint(self, text: Text) -> Text:
        if self.in_colour:
            glyphs = (self.glyphs.space, self.glyphs.newline, self.glyphs.tab)
            text.highlight_regex("|".join(map(re.escape, glyphs)), _FAINT)
        return text


def token_table(painter: TokenPainter, tokens: Sequence[Token]) -> Table:
    """Return one row for every token: its place, itself, its id, its bytes."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("place", justify="right", no_wrap=True)
    table.add_column("token", overflow="fold")
    table.add_column("id", justify="right", no_wrap=True)
    table.add_column("bytes", overflow="fold")
    parts = cut_characters([token.data for token in tokens])
    for place, (token, characters) in enumerate(zip(tokens, parts, strict=True)):
        data = token.data.hex(" ")
        if token.special:
            data = "special token"
        elif characters:
            shown = " and ".join(visible(char.encode(), painter.glyphs) for char in characters)
            data += f"  part of {shown}"
        table.add_row(f"{place}", painter.cell(place, token), f"{token.id}", data)
    return table


def cut_characters(tokens: Sequence[bytes]) -> list[str]:
    """Return, for each token of a text, the characters of which it has only a part.

    ``[b"\\xc3", b"\\xaf!"]``, which is "ï!", gives ``["ï", "ï"]``.
    """
    ends = [0, *accumulate(map(len, tokens))]
    cut: list[list[str]] = [[] for _ in tokens]
    start = 0
    for char in b"".join(tokens).decode("utf-8", "surrogateescape"):
        if 0xDC80 <= ord(char) <= 0xDCFF:  # a byte of no character
            start += 1
            continue
        end = start + len(char.encode())
        first, last = bisect_right(ends, start) - 1, bisect_left(ends, end) - 1
        if first != last:
            for place in range(first, last + 1):
                cut[place].append(char)
        start = end
    return ["".join(chars) for chars in cut]
