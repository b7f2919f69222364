"""What there is to know about a tokenizer, in a few lines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.table import Table
from rich.text import Text

from llm_explainer.console.tokens import TokenPainter, tokens_of
from llm_explainer.tokenizer import (
    BPETokenizer,
    ByteFallbackTokenizer,
    CharTokenizer,
    Tokenizer,
    core_in_use,
)
from llm_explainer.tokenizer.base import token_dtype
from llm_explainer.tokenizer.readable.patterns import PATTERNS

N_LONGEST = 8


def tokenizer_facts(painter: TokenPainter, tokenizer: Tokenizer) -> list[tuple[str, Text]]:
    """Return names and values: what kind it is, its size, how it cuts, its longest tokens."""
    pattern = getattr(tokenizer, "pattern", "")
    patterns = [pattern] if isinstance(pattern, str) else pattern
    named = ", then ".join(f"{p}: {PATTERNS[p]}" if p in PATTERNS else p for p in patterns)
    special = [f"{name} = {i}" for name, i in tokenizer.special_tokens.items()]
    bits = token_dtype(tokenizer.vocab_size).itemsize * 8
    return [
        ("kind", Text(_kind(tokenizer))),
        ("vocabulary", Text(f"{tokenizer.vocab_size:,} tokens, {bits} bits an id")),
        ("words by", Text(named)),
        ("special tokens", Text(", ".join(special) or "none")),
        ("longest tokens", Text("  ").join(longest_tokens(painter, tokenizer))),
        ("runs on", Text("the compiled core" if core_in_use() else "NumPy; no compiled core")),
    ]


_MOST_CHARS = 60  # of a token


def longest_tokens(
    painter: TokenPainter, tokenizer: Tokenizer, n: int = N_LONGEST
) -> Sequence[Text]:
    """Return the ``n`` longest tokens, the longest first, as they look on a console."""
    ordinary = [t for t in tokens_of(tokenizer, tokenizer.vocab) if not t.special]
    longest = sorted(ordinary, key=lambda token: (-len(token.data), token.id))[:n]
    return [_shortened(painter.cell(place, token)) for place, token in enumerate(longest)]


def _shortened(cell: Text) -> Text:
    """Return a token whose middle is left out where it would fill the screen."""
    if len(cell) <= _MOST_CHARS:
        return cell
    half = _MOST_CHARS // 2
    return Text.assemble(cell[:half], (f" … {len(cell):,} characters … ", "dim"), cell[-half:])


def facts_table(facts: Iterable[tuple[str, Text]]) -> Table:
    """Return facts in two columns."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    return table


def _kind(tokenizer: Tokenizer) -> str:
    if isinstance(tokenizer, BPETokenizer):
        return f"byte-level BPE with {len(tokenizer.merges):,} merges"
    if isinstance(tokenizer, ByteFallbackTokenizer):
        return f"BPE of characters with byte fallback, {len(tokenizer.merges):,} merges"
    return "characters" if isinstance(tokenizer, CharTokenizer) else "words"
