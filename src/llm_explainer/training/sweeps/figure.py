"""A sweep as a picture: how each combination learned, and where it ended."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING

from llm_explainer.picture import save_picture
from llm_explainer.training.sweeps.grid import Combination
from llm_explainer.training.sweeps.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2171b5", "#e6550d", "#31a354", "#756bb1", "#d6616b", "#8c6d31", "#17a2b8", "#636363")
GREY = "#c8c8c8"
LOSS = "validation loss (nats a token)"
LOG_FROM = 5.0
"""Values of an option that differ by more than this factor stand on a logarithmic axis."""


def draw_sweep(results: list[Result], path: Path) -> None:
    """Draw a sweep into a PNG.

    Left the validation loss while training, a colour for each of the best and a line for each seed;
    right the loss at the end against the first option that has numbers, a line for each combination
    of the others. A run that diverged is a cross at the upper edge.
    """
    # Matplotlib takes half a second to load, so only here.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), dpi=120, layout="constrained")
    curves, ends = figure.subplots(1, 2)
    _draw_curves(curves, results)
    _draw_ends(ends, results)
    for axes in (curves, ends):
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    save_picture(figure, path)


def _draw_curves(axes: Axes, results: list[Result]) -> None:
    """Draw how each combination learned: the best in colours, best first, the others in grey."""
    from matplotlib.ticker import EngFormatter

    def loss_of(result: Result) -> float:
        return sum(result.losses) / len(result.losses) if result.losses else math.inf

    drawn = [curve[-1][1] for result in results for run in result.seeds if (curve := run.curve)]
    ranked = sorted(results, key=loss_of)
    named, others = ranked[: len(COLOURS)], ranked[len(COLOURS) :]
    for result, colour in [*zip(named, COLOURS, strict=False), *((each, GREY) for each in others)]:
        label = _label(result) if colour != GREY else "others" if result is others[0] else None
        for run in result.seeds:
            x, y = [tokens for tokens, _ in run.curve], [loss for _, loss in run.curve]
            order = 2.0 if colour == GREY else 3.0  # grey below the colours
            axes.plot(x, y, color=colour, linewidth=1.2, label=label, zorder=order)
            label = None
    axes.set(xlabel="tokens trained on", ylabel=LOSS)
    axes.xaxis.set_major_formatter(EngFormatter())
    if drawn:  # one that ended far above the others would press them flat
        low, middle = min(drawn), sorted(drawn)[len(drawn) // 2]
        first = max(run.curve[0][1] for result in results for run in result.seeds if run.curve)
        axes.set_ylim(low - 0.05, min(first, max(middle + 4 * (middle - low), low + 1)) + 0.05)
    axes.legend(frameon=False, fontsize=7)


def _label(result: Result) -> str:
    if not result.divergences:
        return str(result.combination)
    return f"{result.combination} (diverged: {len(result.divergences)} of {len(result.seeds)})"


def _draw_ends(axes: Axes, results: list[Result]) -> None:
    option = _numeric_option(results)
    if option is None:
        _draw_bars(axes, results)
        return
    lines: dict[str, list[Result]] = {}
    for result in results:
        others = tuple(pair for pair in result.combination.values if pair[0] != option)
        lines.setdefault(str(Combination(others)) if others else "", []).append(result)
    numbers = [_number(result, option) for result in results]
    for (name, along), colour in zip(lines.items(), itertools.cycle(COLOURS)):
        along.sort(key=lambda result: _number(result, option))
        ended = [result for result in along if result.losses]
        means = [sum(result.losses) / len(result.losses) for result in ended]
        axes.plot(
            [_number(r, option) for r in ended], means, color=colour, linewidth=1.4, label=name
        )
        for result in along:
            x = _number(result, option)
            axes.scatter([x] * len(result.losses), result.losses, s=16, color=colour)
            if result.divergences:
                axes.scatter(
                    x, 0.98, s=50, marker="x", color=colour, transform=axes.get_xaxis_transform()
                )
    _label_values(axes, sorted(set(numbers)))
    axes.set(xlabel=option, ylabel=f"at the end: {LOSS}")
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=7)


def _label_values(axes: Axes, values: list[float]) -> None:
    """Mark the values on the x axis, also those where every run diverged."""
    from matplotlib.ticker import NullFormatter, NullLocator

    if values[0] > 0 and values[-1] / values[0] > LOG_FROM:
        axes.set_xscale("log")
        margin = (values[-1] / values[0]) ** 0.06
        axes.set_xlim(values[0] / margin, values[-1] * margin)
    else:
        margin = 0.06 * (values[-1] - values[0])
        axes.set_xlim(values[0] - margin, values[-1] + margin)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(values, [f"{value:g}" for value in values])


def _draw_bars(axes: Axes, results: list[Result]) -> None:
    """Draw a point for each run and a bar for each mean, combinations one below the other."""
    for place, (result, colour) in enumerate(zip(results, itertools.cycle(COLOURS))):
        axes.scatter(result.losses, [place] * len(result.losses), s=18, color=colour)
        if result.losses:
            mean = sum(result.losses) / len(result.losses)
            axes.plot([mean, mean], [place - 0.3, place + 0.3], color=colour, linewidth=2)
        if result.divergences:
            axes.scatter(
                0.98, place, s=50, marker="x", color=colour, transform=axes.get_yaxis_transform()
            )
    axes.set_yticks(range(len(results)), [str(r.combination) for r in results], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel=f"at the end: {LOSS}")


def _numeric_option(results: list[Result]) -> str | None:
    """Return the first option of which every value is a number."""
    for option, _ in results[0].combination.values:
        try:
            values = {_number(result, option) for result in results}
        except ValueError:
            continue
        if len(values) > 1:
            return option
    return None


def _number(result: Result, option: str) -> float:
    return float(dict(result.combination.values)[option])
