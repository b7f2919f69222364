"""Finished runs beside each other in a table."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from llm_explainer.spelling import spelled_out
from llm_explainer.training.runs.comparison import FinishedRun


def run_table(runs: list[FinishedRun], this: FinishedRun) -> Table:
    """Return a row for each run, the best first; an arrow marks ``this``."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("run", overflow="fold")
    for heading in ("params", "steps", "bits/byte", "tokens/s", "memory"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("on", no_wrap=True)
    for run in runs:
        own = run.path == this.path
        table.add_row(
            Text(f"{'→' if own else ' '} {spelled_out(run.name)}"),
            f"{run.n_parameters / 1e6:,.2f} M",
            f"{run.steps:,}",
            f"{run.bits_per_byte:.3f}",
            f"{run.tokens_per_s:,.0f}",
            f"{run.peak_memory / 1e9:.2f} GB" if run.peak_memory else "",
            run.backend,
            style="bold" if own else None,
        )
    return table
