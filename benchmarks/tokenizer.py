"""Tokenizer speed beside tiktoken, HF tokenizers and rustbpe, in one interleaved run.

``uv run --with tiktoken,tokenizers,rustbpe python -m benchmarks.tokenizer TEXT``. Ours takes part
twice, compiled and with NumPy alone. ``--gpt2 VOCAB_JSON MERGES_TXT`` encodes with GPT-2's
vocabulary, instead of one of 10,000 learned from the text; ``--large TEXT`` learns 32,000 tokens
from a large one as well, with two processes (``python -m benchmarks.tokenizer_text`` makes one).
Peers that are not installed are left out. ``--json FILE`` keeps the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.interleaved import Contestant, race
from benchmarks.tokenizer_contestants import LARGE, TASKS
from llm_explainer.tokenizer import core_in_use

PACKAGES = {"tiktoken": "tiktoken", "hf": "tokenizers", "rustbpe": "rustbpe"}


def main(argv: Sequence[str] | None = None) -> None:
    """Race at every task asked for, and show a table for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("text", type=Path, help="a UTF-8 file")
    parser.add_argument("--large", type=Path, help="a UTF-8 file of 50 MB or more")
    parser.add_argument("--gpt2", nargs=2, default=[], help="vocab.json and merges.txt")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seconds", type=float, default=20.0, help="for each task")
    parser.add_argument("--vocab-size", type=int, default=10_000, help="of training")
    parser.add_argument(
        "--contended", action="store_true", help="count slices that others disturbed, too"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args(argv)
    console = Console()
    rows: list[dict[str, Any]] = []
    for task in options.tasks:
        if task != LARGE or options.large:
            found = measure(task, options)
            console.print(as_table(found))
            rows += found
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def measure(task: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the figures of every contestant at a task."""
    text, vocab_size = options.text, options.vocab_size
    if task == LARGE:
        text, vocab_size = options.large, 32_000
    contestants = [
        Contestant(
            name,
            "benchmarks.tokenizer_contestants",
            [task, name, str(text), str(vocab_size), *options.gpt2],
        )
        for name in TASKS[task]
        if takes_part(name)
    ]
    race(contestants, options.seconds, options.contended)
    # The last is the peer to beat: how many times as fast as it is each of them?
    peer = contestants[-1]
    return [
        {
            "task": task,
            "contestant": contestant.name,
            "seconds": contestant.median(),
            "mb_per_s": text.stat().st_size / contestant.median() / 1e6,
            "compared_with": peer.name,
            "times_as_fast": peer.median() / contestant.median(),
            "runs": len(contestant.seconds),
            "dropped_slices": contestant.dropped_slices,
        }
        for contestant in contestants
    ]


def takes_part(name: str) -> bool:
    """Return whether what a contestant needs is here."""
    if name in PACKAGES:
        return importlib.util.find_spec(PACKAGES[name]) is not None
    return core_in_use() or "NumPy" in name


def as_table(rows: list[dict[str, Any]]) -> Table:
    """Show the figures of a task, a line for each contestant."""
    n_dropped = sum(row["dropped_slices"] for row in rows)
    table = Table(title=rows[0]["task"], caption=f"{n_dropped} slices dropped", min_width=72)
    table.add_column("contestant")
    for name in ("ms", "MB/s", f"x {rows[0]['compared_with']}", "runs"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            row["contestant"],
            f"{row['seconds'] * 1e3:,.1f}",
            f"{row['mb_per_s']:,.1f}",
            f"{row['times_as_fast']:.2f}",
            str(row["runs"]),
        )
    return table


if __name__ == "__main__":
    main()
