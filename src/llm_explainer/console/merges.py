"""The merges of a word on a console: each step, why it was taken, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_explainer.console.tokens import Token, TokenPainter, visible
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.replay import Step, is_taken_whole, merge_ranks, replay, words_of

MOST_BYTES = 200
"""Of a word whose merges are shown: longer ones have more steps than anybody reads."""

N_OTHERS = 4  # candidates named beside the one that is taken


class MergeView:
    """Shows how a tokenizer merges words.

    Args:
        console: where to
        tokenizer: whose merges
        pause: called after each step; false ends the show.
    """

    def __init__(
        self, console: Console, tokenizer: BPETokenizer, pause: Callable[[], bool] = lambda: True
    ) -> None:
        self._console, self._pause = console, pause
        self._painter = TokenPainter(console)
        self._tokenizer = tokenizer
        self._ranks = merge_ranks(tokenizer)
        special = set(tokenizer.special_tokens.values())
        self._ids = {data: i for i, data in tokenizer.vocab.items() if i not in special}

    def show(self, text: str) -> bool:
        """Show every word of a text; return false if the viewer has seen enough.

        Raises:
            TokenizerError: text that the tokenizer's pattern does not cover.
        """
        words = list(words_of(self._tokenizer, text))
        if len(words) > 1:
            parts = [Token(0, word.encode(), special) for word, special in words]
            line = Text("The pattern cuts this into ").append(f"{len(words)} words", "bold")
            self._print(
                "", line + Text(", and no merge reaches across: ") + self._painter.row(parts)
            )
        return all(self._show_word(word, special) for word, special in words)

    def _show_word(self, word: str, special: bool) -> bool:
        if special:
            token_id = self._tokenizer.special_tokens[word]
            self._print("", Text(f"{word} is a special token, {token_id}: nothing to merge."))
            return True
        data = word.encode().translate(None, self._tokenizer.symbols.missing)
        if not data:
            self._print("", Text(f"{word!r} has no token and is left out."))
            return True
        if is_taken_whole(self._tokenizer, data):
            line = self._cell(0, data) + Text(f" is a token, {self._ids[data]}; this tokenizer ")
            self._print("", line + Text("takes such a word as it is, whatever its merges say."))
            return True
        steps = list(replay(data, self._ranks))
        self._print("", Text(f"{len(data)} bytes: ") + self._row(steps[0].tokens))
        for number, (step, after) in enumerate(pairwise(steps), 1):
            if not self._pause():
                return False
            self._print(f"{number}", self._reason(step))
            self._print("", self._row(after.tokens), indented=True)
        self._print("", self._end(steps[-1]), indented=True)
        self._print("", self._tokens(steps[-1]), indented=True)
        return True

    def _reason(self, step: Step) -> Text:
        """Say which merge comes next, and which would have been possible too."""
        (rank, place), *others = step.candidates
        line = Text(f"merge {rank + 1:,} of {len(self._ranks):,}: ")
        line.append_text(self._pair(step, place))
        if others:
            # A pair may stand in several places of the word; it is one merge all the same.
            later = {r: at for r, at in reversed(others) if r != rank}
            named = sorted(later)[:N_OTHERS]
            for first, r in enumerate(named):
                line.append(", " if first else "; learned later: ", "dim")
                line.append(f"{r + 1:,} ", "dim").append_text(self._pair(step, later[r], "dim"))
            if len(later) > len(named):
                line.append(f" and {len(later) - len(named)} more", "dim")
        return line

    def _end(self, step: Step) -> Text:
        """Say why nothing more is merged."""
        if len(step.tokens) == 1:
            return Text("One piece, so nothing is left to merge.")
        line = Text("No neighbours have a merge: ")
        pairs = [self._pair(step, place) for place in range(len(step.tokens) - 1)]
        line.append_text(Text(", ").join(pairs[:N_OTHERS]))
        line.append(" and so on" if len(pairs) > N_OTHERS else "")
        return line.append(" was never learned." if len(pairs) == 1 else " were never learned.")

    def _tokens(self, step: Step) -> Text:
        line = Text("Tokens: ", "bold")
        ids = [Text(f" {self._ids[token]}") for token in step.tokens]
        shown = [self._cell(place, token) for place, token in enumerate(step.tokens)]
        return line + Text(", ").join(a + b for a, b in zip(shown, ids, strict=True))

    def _row(self, tokens: Sequence[bytes]) -> Text:
        return self._painter.row([Token(0, token, False) for token in tokens])

    def _cell(self, place: int, token: bytes) -> Text:
        return self._painter.cell(place, Token(0, token, False))

    def _pair(self, step: Step, place: int, style: str = "") -> Text:
        left, right = (
            visible(token, self._painter.glyphs) for token in step.tokens[place : place + 2]
        )
        return Text(f"{left} + {right}", style)

    def _print(self, head: str, line: Text, *, indented: bool = False) -> None:
        """Print a line behind a number, if there is one; on a terminal it wraps beside it."""
        width = 4 if head or indented else 0
        if not self._console.is_terminal:
            head = f"{head:>{width}}  " if width else ""
            self._console.print(Text(head) + line, soft_wrap=True)
        elif width:
            grid = Table.grid(padding=(0, 2, 0, 0))
            grid.add_column(justify="right", width=width)
            grid.add_column(overflow="fold")
            grid.add_row(head, line)
            self._console.print(grid)
        else:
            self._console.print(line)
