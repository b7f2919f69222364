"""A linear layer with an adapter beside it."""

from pathlib import Path

from llm_explainer.tutorial.drawing import (
    BLUE,
    GREEN,
    arrow,
    bare,
    box,
    new_figure,
    plus,
    save,
    style,
)


def draw(folder: Path) -> None:
    """Draw the frozen way above and the narrow way below, and their sum."""
    with style():
        figure, axes = new_figure(7.6, 2.9)
        bare(axes, 12, 4.4)
        axes.text(0.6, 2.2, "x\nI numbers", ha="center", va="center")
        box(axes, (5.0, 3.4), "W (O, I), frozen", width=3.6, height=0.9, color=BLUE)
        box(axes, (3.6, 1.0), "A (r, I)", width=1.6, height=0.8, color=GREEN, lit=True)
        box(axes, (6.4, 1.0), "B (O, r)", width=1.6, height=0.8, color=GREEN, lit=True)
        plus(axes, (9.6, 2.2))
        arrow(axes, (1.3, 2.5), (3.2, 3.3))
        arrow(axes, (1.3, 1.9), (2.8, 1.1))
        arrow(axes, (4.4, 1.0), (5.6, 1.0))
        axes.text(5.0, 0.4, "u: r numbers", ha="center", fontsize=8)
        arrow(axes, (6.8, 3.4), (9.3, 2.5))
        arrow(axes, (7.2, 1.0), (9.3, 1.9))
        axes.text(8.7, 1.1, "times s", ha="center", fontsize=8)
        arrow(axes, (10.0, 2.2), (10.8, 2.2))
        axes.text(11.4, 2.2, "y\nO numbers", ha="center", va="center")
        save(figure, folder / "10-idea.svg")
