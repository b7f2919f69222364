"""A look at records before training: their tokens, what of them is trained, and the numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from llm_explainer.console.terminal import show
from llm_explainer.console.tokenizer_facts import facts_table
from llm_explainer.console.tokens import Token, TokenPainter, tokens_of, visible
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate

if TYPE_CHECKING:
    from llm_explainer.data.records import EncodedRecord, RecordCounts

MOST_TOKENS = 400
"""Of a long record the end is shown, where the answer is."""


def show_records(
    console: Console,
    records: Sequence[EncodedRecord],
    tokenizer: Tokenizer,
    counts: RecordCounts,
    *,
    template: ChatTemplate | None = None,
    padding: float | None = None,
    n_shown: int = 3,
) -> None:
    """Show some records as coloured tokens, the template that made them, and a table.

    Args:
        console: where to
        records: those to learn from
        tokenizer: that made them
        counts: what became of all records
        template: of conversations; None where there are none
        padding: share of a batch's places that are filled up, 0 to 1; None leaves it out
        n_shown: how many records, spread over all
    """
    painter = TokenPainter(console)
    n_shown = min(n_shown, len(records))
    if n_shown:
        how = "coloured" if painter.in_colour else "in brackets"
        show(console, f"{n_shown} of {len(records):,} records; what is {how} is trained")
    for i in range(n_shown):
        place = i * len(records) // n_shown
        show(console, f"record {place + 1:,}", style="bold")
        _show_tokens(console, painter, _lit(records[place], tokenizer))
    if template is not None and n_shown:
        show(console, "chat template", style="bold")
        for line in template.source.splitlines():
            show(console, "  " + visible(line.encode(), replace(painter.glyphs, space=" ")))
    console.print(facts_table(_facts(records, counts, padding)))


def _lit(record: EncodedRecord, tokenizer: Tokenizer) -> list[Token]:
    """Return a record's tokens, those lit that count as targets."""
    tokens = tokens_of(tokenizer, record.ids.tolist())
    trained = record.trained.tolist()
    return [replace(token, lit=place > 0 and trained[place]) for place, token in enumerate(tokens)]


def _show_tokens(console: Console, painter: TokenPainter, tokens: list[Token]) -> None:
    if len(tokens) > MOST_TOKENS:
        show(console, f"... {len(tokens) - MOST_TOKENS:,} tokens before", style="dim")
    for line in painter.lines(tokens[-MOST_TOKENS:]):
        console.print(line, soft_wrap=True)


def _facts(
    records: Sequence[EncodedRecord], counts: RecordCounts, padding: float | None
) -> list[tuple[str, Text]]:
    lengths = [len(record.ids) for record in records]
    facts = {
        "records": f"{counts.records:,}",
        "tokens": f"{counts.tokens:,}, {min(lengths):,} to {max(lengths):,} a record",
        "trained": f"{counts.trained:,} tokens, {counts.trained_share:.1%}",
        "cut": f"{counts.cut:,} longer than the context" if counts.cut else "none",
    }
    if counts.without_target:
        facts["left out"] = f"{counts.without_target:,} with nothing to learn"
    if padding is not None:
        facts["padding"] = f"{padding:.1%}"
    return [(name, Text(value)) for name, value in facts.items()]
