"""How the Tutorial's figures look: vectors that can be read on light and on dark, and drawn again.

A script ``Tutorial/figures/figure_04_attention_map.py`` has ``draw(folder)``, which writes
``04-attention-map.svg``:

    def draw(folder: Path) -> None:
        with style():
            figure, axes = new_figure(6, 3)
            heatmap(axes, weights, words, words)
            save(figure, folder / "04-attention-map.svg")

The same numbers give the same file: no date, no random names, letters as text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK = "#7d7d7d"
"""Of letters and lines: as far from white as from black."""

BLUE, ORANGE, GREEN, RED, PURPLE = "#3b82c4", "#d9762b", "#3d9a50", "#d2504a", "#9467bd"
COLORS = (BLUE, ORANGE, GREEN, RED, PURPLE)

ON_COLOR = "#ffffff"
"""Of letters on a full colour, which looks the same on light and on dark."""

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.6,
    "path.simplify": False,  # which would leave out points by how they fall
    "savefig.facecolor": "none",
    "savefig.transparent": True,
    "svg.fonttype": "none",  # letters stay letters
    "svg.hashsalt": "llm-explainer",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def style() -> Iterator[None]:
    """Draw what the block draws in the Tutorial's style."""
    import matplotlib as mpl
    from cycler import cycler

    with mpl.rc_context():
        for name, value in _STYLE.items():
            mpl.rcParams[name] = value
        mpl.rcParams["axes.prop_cycle"] = cycler(color=COLORS)
        yield


def new_figure(width: float, height: float, columns: int = 1, rows: int = 1) -> tuple[Figure, Any]:
    """Return a figure of so many inches, and its axes: one, or an array of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, the same for the same figure.

    Raises:
        OSError: the file cannot be written.
    """
    # Those would say when and with what it was written.
    metadata = dict.fromkeys(("Date", "Creator", "Type", "Format"))
    figure.savefig(path, format="svg", metadata=metadata)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


def heatmap(
    axes: Axes,
    values: ArrayLike,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    *,
    limit: float | None = None,
    digits: int | None = None,
    color: str = BLUE,
) -> None:
    """Draw a matrix as squares: the stronger the colour, the larger the number; below 0 orange.

    NaN is left empty. values (rows, columns); ``limit``: what has the full colour (the largest
    size of a number, if it isn't given); ``digits``: so many are written into each square, and
    then its colour is faint or nearly full, as letters cannot be read on what lies between.
    """
    from matplotlib.patches import Rectangle

    matrix = np.asarray(values, dtype=float)
    most = limit or float(np.nanmax(np.abs(matrix))) or 1.0
    for (row, column), value in np.ndenumerate(matrix):
        if np.isnan(value):
            continue
        strength = round(min(1.0, abs(float(value)) / most), 3)
        paint, letters = color if value >= 0 else ORANGE, INK
        if digits is not None and strength < 0.5:
            strength *= 0.6
        elif digits is not None:
            strength, letters = 0.7 + 0.3 * strength, ON_COLOR
        axes.add_patch(
            Rectangle((column - 0.5, row - 0.5), 1, 1, facecolor=paint, alpha=strength, linewidth=0)
        )
        if digits is not None:
            text = f"{value:.{digits}f}"
            axes.text(column, row, text, ha="center", va="center", fontsize=8, color=letters)
    axes.set(xlim=(-0.5, matrix.shape[1] - 0.5), ylim=(matrix.shape[0] - 0.5, -0.5))
    axes.set_aspect("equal")
    axes.set_xticks(range(len(column_labels)), column_labels, rotation=45, ha="right")
    axes.set_yticks(range(len(row_labels)), row_labels)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def box(
    axes: Axes,
    center: tuple[float, float],
    text: str,
    *,
    width: float = 1.6,
    height: float = 0.6,
    color: str = INK,
    lit: bool = False,
) -> None:
    """Draw a box with a text in it; ``lit`` fills it: the stage that is spoken of."""
    from matplotlib.patches import FancyBboxPatch

    corner = (center[0] - width / 2, center[1] - height / 2)
    axes.add_patch(
        FancyBboxPatch(
            corner,
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor=color if lit else "none",
            edgecolor=color,
            linewidth=1.8 if lit else 1.0,
        )
    )
    letters, weight = (ON_COLOR, "bold") if lit else (INK, "normal")
    axes.text(*center, text, ha="center", va="center", color=letters, fontweight=weight)


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    text: str = "",
    *,
    color: str = INK,
    bend: float = 0.0,
) -> None:
    """Draw an arrow, with a text beside its middle; ``bend``: 0.3 is a good bow to one side."""
    axes.annotate(
        "",
        xy=end,
        xytext=start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": color,
            "shrinkA": 0,
            "shrinkB": 0,
            "connectionstyle": f"arc3,rad={bend}",
        },
    )
    if text:
        middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        axes.annotate(
            text, middle, (4, 0), textcoords="offset points", ha="left", va="center", fontsize=8
        )


def plus(axes: Axes, center: tuple[float, float]) -> None:
    """Draw the sign of a sum, in a circle."""
    axes.text(*center, "+", ha="center", va="center", fontsize=14)
    axes.plot(*center, marker="o", markersize=17, markerfacecolor="none", color=INK)


def bare(axes: Axes, width: float, height: float) -> None:
    """Make axes a sheet of paper from (0, 0) to (width, height), for boxes and arrows."""
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_aspect("equal")
    axes.axis("off")
