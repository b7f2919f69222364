"""Why a token has its score: what each part gave to it, and what is lost without the part."""

from __future__ import annotations

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_explainer.console.tables import show_table
from llm_explainer.console.terminal import show
from llm_explainer.console.trace_view import TokenCells, target_words
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tracing import Ablation, Attribution, Trace

BAR_CELLS = 24
SHARES = (
    "each share is what the part wrote straight into the score, with the norms' scales held at "
    "their values; what it did through later parts isn't in it"
)
PROOF = (
    "where a head looks is no proof of what it does; what changes without it is a better one, "
    "though other parts may make up for it"
)


def show_attribution(
    console: Console, tokenizer: Tokenizer, trace: Trace, found: Attribution, most: int
) -> None:
    """Show the parts of a score, the largest first, with a bar each, and that they add up."""
    cells = TokenCells(console, tokenizer)
    show(console, "")
    here = cells.cell(int(trace.ids[found.position]))
    score = Text.assemble("the logit of ", cells.cell(found.token))
    if found.against is not None:
        score = Text.assemble(score, " less that of ", cells.cell(found.against))
    show(console, "Why ", score, " after ", here, style="bold")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("part", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("looks most at", overflow="fold")
    largest = float(np.abs(found.values).max()) or 1.0
    order = np.argsort(-np.abs(found.values), kind="stable")
    for i in order[:most]:
        name, value = found.names[i], float(found.values[i])
        bar = _bar(console, value / largest)
        table.add_row(part_name(name), f"{value:+.4f}", bar, _seen(cells, trace, found, name))
    if len(order) > most:
        rest = float(found.values[order[most:]].sum())
        table.add_row(f"{len(order) - most} more parts", f"{rest:+.4f}", "", "")
    show_table(console, table)
    total = f"sum {found.total:.6f}, the model's own {found.logit:.6f}"
    show(console, f"{total}, difference {abs(found.total - found.logit):.1e}")
    show(console, SHARES, style="dim")


def show_ablation(console: Console, tokenizer: Tokenizer, trace: Trace, ablation: Ablation) -> None:
    """Show by how much the target changes without each head and each feed-forward network."""
    cells = TokenCells(console, tokenizer)
    show(console, "")
    words = target_words(cells, trace)
    show(console, "By how much ", words, f" ({ablation.value:.4f}) changes without", style="bold")
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("block", justify="right", no_wrap=True)
    for head in range(trace.config.n_heads):
        table.add_column(f"head {head}", justify="right", no_wrap=True)
    table.add_column("feed-forward", justify="right", no_wrap=True)
    effects = np.column_stack([ablation.head_effects, ablation.feed_forward_effects])
    largest = float(np.abs(effects).max())
    for block, row in enumerate(effects):
        table.add_row(f"{block}", *(_effect(float(effect), largest) for effect in row))
    show_table(console, table)
    show(console, PROOF, style="dim")


def part_name(name: str) -> str:
    """Return a part of a score in words.

    >>> part_name("blocks.0.attention.heads.3"), part_name("blocks.1.feed_forward.down_proj.bias")
    ('block 0, head 3', 'block 1, feed-forward bias')
    >>> part_name("final_norm.bias"), part_name("token_embedding")
    ('final norm bias', 'token embedding')
    """
    path = name.split(".")
    words = [] if path[0] != "blocks" else [f"block {path[1]}"]
    path = path[2:] if words else path
    if "heads" in path:
        words.append(f"head {path[-1]}")
    else:
        part = path[0].replace("feed_forward", "feed-forward").replace("_", " ")
        words.append(f"{part} bias" if path[-1] == "bias" else part)
    return ", ".join(words)


def _seen(cells: TokenCells, trace: Trace, found: Attribution, name: str) -> Text:
    """Return the token that a head weighs most at the position, and its weight."""
    if ".heads." not in name:
        return Text()
    attention, head = name.split(".heads.")
    weights = trace.activations[f"{attention}.weights"][int(head), found.position]  # (T,)
    place = int(weights.argmax())
    return Text.assemble(cells.cell(int(trace.ids[place]), place), f" {weights[place]:.2f}")


def _bar(console: Console, share: float) -> Text:
    """Return a bar for a share from -1 to 1."""
    block = "█" if console.encoding.startswith("utf") else "#"
    return Text(block * round(abs(share) * BAR_CELLS), "green" if share > 0 else "red")


def _effect(effect: float, largest: float) -> Text:
    """Return an effect, the larger ones in colour."""
    strong = largest > 0 and abs(effect) > largest / 4
    return Text(f"{effect:+.4f}", ("green" if effect > 0 else "red") if strong else "")
