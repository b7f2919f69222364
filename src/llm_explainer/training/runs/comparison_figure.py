"""Runs side by side as a picture: how they learned, and what data, size and backend change."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from llm_explainer.data.data_size import write_data_size
from llm_explainer.picture import save_picture
from llm_explainer.training.runs.comparison import FinishedRun

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOSS = "validation loss (bits a byte)"
MOST_CURVES = 10  # the best ones, and this run's
COLOURS = ("#2171b5", "#e6550d", "#31a354", "#756bb1", "#d6616b", "#8c6d31", "#17a2b8", "#636363")


def draw_comparison(
    runs: list[FinishedRun], this: FinishedRun, speeds: dict[str, float], path: Path
) -> None:
    """Draw the runs of one corpus into a PNG; ``this`` stands out.

    Args:
        runs: of the same validation text, this one among them
        this: the run that has just ended
        speeds: tokens a second of this model, by backend
        path: the PNG
    """
    # Matplotlib takes half a second to load, so only here.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 7.5), dpi=120, layout="constrained")
    (curves, bars), (by_data, by_size) = figure.subplots(2, 2)
    _draw_curves(curves, runs, this)
    _draw_speeds(bars, speeds)
    _draw_lines(by_data, runs, this, _model, _data)
    by_data.set(xlabel="training text (bytes)")
    _draw_lines(by_size, runs, this, _data_name, _parameters)
    by_size.set(xlabel="parameters")
    by_data.set_title("more data", fontsize=10)
    by_size.set_title("larger models", fontsize=10)
    figure.suptitle(_title(runs, this))
    save_picture(figure, path)


def _title(runs: list[FinishedRun], this: FinishedRun) -> str:
    others = len(runs) - 1
    return this.name + (f" beside {others} other run{'s' * (others > 1)}" if others else "")


def _draw_curves(axes: Axes, runs: list[FinishedRun], this: FinishedRun) -> None:
    drawn = [run for i, run in enumerate(runs) if i < MOST_CURVES or run.path == this.path]
    for run, colour in zip(drawn, itertools.cycle(COLOURS)):
        own = run.path == this.path
        axes.plot(
            [tokens for tokens, _ in run.curve],
            [loss for _, loss in run.curve],
            color=colour,
            linewidth=2.4 if own else 1.2,
            marker="o",
            markersize=5 if own else 2.5,
            label=run.name,
        )
    _use_log_scale(axes)
    axes.set(xlabel="tokens trained on", ylabel=LOSS)
    axes.set_title("learning", fontsize=10)
    axes.legend(frameon=False, fontsize=7)
    _tidy(axes)


def _draw_speeds(axes: Axes, speeds: dict[str, float]) -> None:
    bars = axes.barh(list(speeds), list(speeds.values()), color="#9ecae1", height=0.5)
    axes.bar_label(bars, labels=[f"{speed:,.0f}" for speed in speeds.values()], padding=4)
    axes.set_xlim(0, 1.25 * max(speeds.values()))
    axes.set_ylim(-0.8, len(speeds) - 0.2)
    axes.invert_yaxis()
    axes.set(xlabel="tokens a second in training")
    axes.set_title("this model", fontsize=10)
    _tidy(axes)


def _draw_lines(
    axes: Axes,
    runs: list[FinishedRun],
    this: FinishedRun,
    name_of: Callable[[FinishedRun], str],
    x_of: Callable[[FinishedRun], int],
) -> None:
    """Draw the loss of each run over ``x_of``; a line joins runs that share ``name_of``."""
    names = dict.fromkeys(name_of(run) for run in runs)
    for name, colour in zip(names, itertools.cycle(COLOURS)):
        alike = sorted((run for run in runs if name_of(run) == name), key=x_of)
        losses = [run.bits_per_byte for run in alike]
        axes.plot(
            [x_of(run) for run in alike], losses, color=colour, marker="o", markersize=5, label=name
        )
    axes.scatter(
        x_of(this), this.bits_per_byte, s=110, facecolor="none", edgecolor="black", zorder=3
    )
    _use_log_scale(axes)
    axes.set(ylabel=LOSS)
    axes.legend(frameon=False, fontsize=7)
    _tidy(axes)


def _model(run: FinishedRun) -> str:
    return f"{run.size}, {run.family}, {_length(run)}"


def _length(run: FinishedRun) -> str:
    # Part of the name, since more text or parameters look worse where they had fewer steps.
    return f"{run.steps:,} steps"


def _data(run: FinishedRun) -> int:
    assert run.train_bytes is not None  # runs without are not comparable
    return run.train_bytes


def _data_name(run: FinishedRun) -> str:
    return f"{write_data_size(_data(run))} of text, {_length(run)}"


def _parameters(run: FinishedRun) -> int:
    return run.n_parameters


def _use_log_scale(axes: Axes) -> None:
    """Label 1, 2 and 5 of each power of ten, as in 200 k."""
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())


def _tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
