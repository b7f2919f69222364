"""The frame of a layer: the norm on the branch, or on the stream."""

from pathlib import Path
from typing import Any

from llm_explainer.tutorial.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    arrow,
    bare,
    box,
    new_figure,
    plus,
    save,
    style,
)


def draw(folder: Path) -> None:
    """Draw pre-norm and post-norm side by side."""
    with style():
        figure, axes = new_figure(7.6, 3.9)
        bare(axes, 13, 6.6)
        _frame(axes, 2.0, is_pre=True)
        _frame(axes, 8.8, is_pre=False)
        save(figure, folder / "06-idea.svg")


def _frame(axes: Any, x: float, *, is_pre: bool) -> None:
    """Draw a layer in its frame, its stream at ``x``."""
    right = x + 2.4
    axes.text(x + 1.2, 6.4, "pre-norm" if is_pre else "post-norm", ha="center", fontweight="bold")
    axes.text(x, 0.15, "x", ha="center", va="center", fontsize=11)
    axes.text(x, 5.95, "y", ha="center", va="center", fontsize=11)
    sum_y = 4.6 if is_pre else 3.75
    axes.plot([x, x], [0.4, sum_y - 0.25], color=BLUE, linewidth=3.2)
    plus(axes, (x, sum_y))
    if is_pre:
        axes.plot([x, x], [sum_y + 0.25, 5.45], color=BLUE, linewidth=3.2)
        box(axes, (right, 1.9), "norm", color=ORANGE, lit=True)
        arrow(axes, (right, 1.0), (right, 1.6))
        arrow(axes, (right, 2.2), (right, 2.95))
        axes.text(x - 0.25, 2.6, "nothing but sums\non the stream", ha="right", fontsize=8)
    else:
        axes.plot([x, x], [sum_y + 0.25, 4.4], color=BLUE, linewidth=3.2)
        box(axes, (x, 4.7), "norm", color=ORANGE, lit=True)
        axes.plot([x, x], [5.0, 5.45], color=BLUE, linewidth=3.2)
        arrow(axes, (right, 1.0), (right, 2.95))
        axes.text(x - 0.95, 4.7, "on the stream", ha="right", va="center", fontsize=8)
    arrow(axes, (x, 5.4), (x, 5.72), color=BLUE)
    axes.plot([x, right], [1.0, 1.0], color=INK, linewidth=1)
    box(axes, (right, 3.25), "layer f", color=GREEN, lit=True)
    axes.plot([right, right], [3.55, sum_y], color=INK, linewidth=1)
    arrow(axes, (right, sum_y), (x + 0.28, sum_y))
