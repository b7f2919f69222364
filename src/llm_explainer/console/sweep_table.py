"""A sweep as a table: a row for each combination, the best marked."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from llm_explainer.spelling import spelled_out
from llm_explainer.training.sweeps.results import Result


def sweep_table(results: list[Result]) -> Table:
    """Return a row for each combination, in the order asked for; an arrow marks the best.

    "± " is the sample standard deviation over seeds.
    """
    best = min((each.loss for each in results if each.loss is not None), default=None)
    asks = any(run.right is not None for result in results for run in result.seeds)
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    options = [option for option, _ in results[0].combination.values]
    table.add_column("", no_wrap=True)
    for option in options:
        table.add_column(option, overflow="fold")
    for heading in ("loss", "±", *(["right"] if asks else []), "minutes", "runs"):
        table.add_column(heading, justify="right", no_wrap=True)
    for result in results:
        loss, right = result.loss, result.mean(lambda run: run.right)
        is_best = loss is not None and loss == best
        cells = [Text(spelled_out(value)) for _, value in result.combination.values]
        table.add_row(
            "→" if is_best else "",
            *cells,
            "diverged" if loss is None and result.divergences else _written(loss, 4),
            _written(result.spread, 4),
            *([_percent(right)] if asks else []),
            _written(result.mean(lambda run: run.minutes), 2),
            f"{len(result.losses)} of {len(result.seeds)}",
            style="bold" if is_best else None,
        )
    return table


def divergence_lines(results: list[Result]) -> list[str]:
    """Return a line for each run that diverged: which, when, where first, and why."""
    return [
        f"{result.combination}, seed {run.seed}: diverged at step {run.diverged.step:,}, "
        f"first in {run.diverged.where} ({run.diverged.why})"
        for result in results
        for run in result.seeds
        if run.diverged is not None
    ]


def _written(number: float | None, digits: int) -> str:
    return "" if number is None else f"{number:.{digits}f}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"
