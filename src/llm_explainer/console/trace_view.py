"""What a model did with a text, in tables: its tokens, the logit lens, a step of training."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_explainer.console.tables import show_table
from llm_explainer.console.terminal import show
from llm_explainer.console.tokens import Token, TokenPainter, visible
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tracing import Lens, Moment, Step, Trace, piece_of, saliency

N_GUESSES, N_READ = 5, 3


class TokenCells:
    """Tokens of one tokenizer as cells of tables on one console."""

    def __init__(self, console: Console, tokenizer: Tokenizer) -> None:
        self._painter, self._tokenizer = TokenPainter(console), tokenizer
        self._special = set(tokenizer.special_tokens.values())

    def cell(self, token: int, place: int = 0) -> Text:
        """Return a token as it is seen; one that the tokenizer lacks by its number."""
        data = piece_of(self._tokenizer, token) or f"<{token}>".encode()
        return self._painter.cell(place, Token(token, data, token in self._special))

    def with_probabilities(self, tokens: Iterable[int], probabilities: Iterable[float]) -> Text:
        """Return tokens in a line, each with its probability."""
        pairs = zip(tokens, probabilities, strict=True)
        shown = [Text.assemble(self.cell(int(i)), f" {percent(p)}") for i, p in pairs]
        return Text("   ").join(shown)

    def text(self, text: str) -> Text:
        """Return a text as it is, but for what does not print."""
        return Text(visible(text.encode(), replace(self._painter.glyphs, space=" ")))


def percent(p: float) -> str:
    """Return a probability as people read it.

    >>> percent(0.4123), percent(0.00004)
    ('41.2%', '<0.1%')
    """
    return f"{p:.1%}" if p >= 0.001 or p == 0 else "<0.1%"


def target_words(cells: TokenCells, trace: Trace) -> Text:
    """Return what gradients and ablations of a trace are about."""
    target = trace.target
    if target.kind == "loss":
        return Text("the loss")
    score = "logit" if target.kind == "logit" else "log-probability"
    return Text.assemble(f"the {score} of ", cells.cell(target.token))


def show_tokens(
    console: Console, tokenizer: Tokenizer, trace: Trace, position: int, most: int
) -> None:
    """Show each token with what the model gave it, and what it would say after a position."""
    cells, pulls = TokenCells(console, tokenizer), saliency(trace)
    table = _table("place", "token", "p", "loss", "gradient x input", "likeliest here")
    for place in range(min(trace.n_tokens, most)):
        token = int(trace.ids[place])
        row: list[str | Text] = [f"{place}", cells.cell(token, place), "", ""]
        likeliest: str | Text = ""
        if place:
            before = trace.probabilities[place - 1]  # (V,)
            guess = int(before.argmax())
            row[2:] = [percent(before[token]), f"{trace.losses[place - 1]:.3f}"]
            likeliest = cells.with_probabilities([guess], [before[guess]])
        table.add_row(*row, f"{pulls[place]:+.4f}", likeliest)
    show_table(console, table)
    _say_more(console, trace.n_tokens - most, "tokens")
    if trace.loss is not None:
        loss = f"loss {trace.loss:.4f} nats a token, perplexity {math.exp(trace.loss):,.2f}"
        show(console, loss)
    words = target_words(cells, trace)
    show(console, "gradient x input: what hangs on each token, to first order, of ", words)
    after = trace.probabilities[position]
    top = np.argsort(-after, kind="stable")[:N_GUESSES]
    here = cells.cell(int(trace.ids[position]))
    show(console, "after ", here, " may come  ", cells.with_probabilities(top, after[top]))


def show_lens(
    console: Console, tokenizer: Tokenizer, trace: Trace, lens: Lens, position: int
) -> None:
    """Show what the head reads at a position behind each layer, and where the target ranks."""
    cells, followed = TokenCells(console, tokenizer), int(lens.targets[position])
    show(console, "")
    here = cells.cell(int(trace.ids[position]))
    show(console, "Logit lens after ", here, ": if this layer were the last", style="bold")
    table = _table("read behind", "likeliest", "p of target", "its rank")
    for row, name in enumerate(lens.rows):
        likeliest = cells.with_probabilities(
            lens.tokens[row, position, :N_READ], lens.probabilities[row, position, :N_READ]
        )
        p, rank = lens.target_probabilities[row, position], int(lens.ranks[row, position])
        table.add_row(_stream_name(name), likeliest, percent(p), f"{rank + 1:,}")
    show_table(console, table)
    show(console, "target ", cells.cell(followed), "; the last row is the model's output")


def show_step(console: Console, tokenizer: Tokenizer, trace: Trace, step: Step, most: int) -> None:
    """Show what a step of training on the text would change."""
    cells = TokenCells(console, tokenizer)
    show(console, "")
    show(console, f"One step of gradient descent on this text, rate {step.rate:g}", style="bold")
    table = _table("place", "token", "p before", "p after", "change")
    for place in range(1, min(trace.n_tokens, most)):
        token = int(trace.ids[place])
        before, after = step.before[place - 1, token], step.after[place - 1, token]
        change = f"{after - before:+.5f}"
        table.add_row(f"{place}", cells.cell(token, place), f"{before:.5f}", f"{after:.5f}", change)
    show_table(console, table)
    _say_more(console, trace.n_tokens - most, "tokens")
    show(console, f"loss {step.loss_before:.5f} before, {step.loss_after:.5f} after")
    weights = _table("largest gradients", "row, column", "weight", "gradient", "step")
    for weight in step.largest[:most]:
        index = ", ".join(map(str, weight.index))
        numbers = (weight.value, weight.gradient, -step.rate * weight.gradient)
        weights.add_row(weight.name, index, *(f"{number:+.6f}" for number in numbers))
    show_table(console, weights)


def show_history(
    console: Console, tokenizer: Tokenizer, trace: Trace, moments: Sequence[Moment], position: int
) -> None:
    """Show what a run's model made of the text at every state of it that was kept."""
    cells, here = TokenCells(console, tokenizer), int(trace.ids[position])
    show(console, "")
    show(console, "As it learned: what came after ", cells.cell(here), style="bold")
    table = _table("step", "loss", "p of target", "likeliest", "what it wrote then")
    for moment in moments:
        read = moment.lens
        likeliest = cells.with_probabilities(
            read.tokens[-1, position, :1], read.probabilities[-1, position, :1]
        )
        loss = f"{moment.losses.mean():.3f}" if len(moment.losses) else ""
        p = percent(read.target_probabilities[-1, position])
        table.add_row(f"{moment.step:,}", loss, p, likeliest, cells.text(moment.sample))
    show_table(console, table)
    show(console, "target ", cells.cell(int(moments[-1].lens.targets[position])))


def _table(*names: str) -> Table:
    """Return a table whose cells of text stand left and whose numbers stand right."""
    words = {"token", "likeliest", "likeliest here", "read behind", "largest gradients"}
    words.add("what it wrote then")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in names:
        if name in words:
            table.add_column(name, overflow="fold")
        else:
            table.add_column(name, justify="right", no_wrap=True)
    return table


def _say_more(console: Console, n_more: int, of_what: str) -> None:
    if n_more > 0:
        show(console, f"{n_more:,} more {of_what}; --rows shows them", style="dim")


def _stream_name(name: str) -> str:
    """Return a state of the residual stream in words.

    >>> _stream_name("embeddings"), _stream_name("blocks.2"), _stream_name("blocks.2.residual")
    ('embeddings', 'block 2', 'attention of block 2')
    """
    if not name.startswith("blocks."):
        return name
    number = name.split(".")[1]
    return f"attention of block {number}" if name.endswith("residual") else f"block {number}"
