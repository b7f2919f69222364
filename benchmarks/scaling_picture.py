"""Cost against size, as a picture: what was measured beside what theory says."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

Figures = dict[str, list[dict[str, float]]]


def draw_scaling(results: Figures, units: dict[str, str], path: Path) -> None:
    """Draw two rows of panels into a PNG, time above memory, one column for each series.

    Both axes are logarithmic, so that a power law is a straight line. Theory's time is drawn
    through the last point: it says how cost grows, not how fast this machine is.
    """
    figure = Figure(figsize=(3.2 * len(results), 6), dpi=110, layout="constrained")
    panels = figure.subplots(2, len(results), squeeze=False)
    for column, (name, figures) in enumerate(results.items()):
        x = [f["value"] for f in figures]
        last = figures[-1]
        rate = last["theory_work"] / last["seconds"]
        time, memory = panels[0][column], panels[1][column]
        time.loglog(x, [1e3 * f["seconds"] for f in figures], "o-", color="#2171b5")
        time.loglog(x, [1e3 * f["theory_work"] / rate for f in figures], "k:")
        memory.loglog(x, [f["bytes"] / 1e6 for f in figures], "o-", color="#e6550d")
        memory.loglog(x, [f["theory_bytes"] / 1e6 for f in figures], "k:")
        time.set(title=name, ylabel="ms a token" if name == "generation" else "ms a step")
        memory.set(xlabel=units[name], ylabel="MB")
        for axes in (time, memory):
            axes.set_xticks(x, [_short(value) for value in x])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
    panels[0][0].legend(["measured", "theory"], frameon=False)
    panels[1][0].legend(["measured", "theory"], frameon=False)
    temporary = path.with_name(f".{path.name}.tmp")
    figure.savefig(temporary, format="png")
    temporary.replace(path)


def _short(value: float) -> str:
    """Write 43,000,000 as 43M, 820,000 as 820k."""
    if value >= 1e6:
        return f"{value / 1e6:.0f}M"
    return f"{value / 1e3:.0f}k" if value >= 1e4 else f"{value:.0f}"
