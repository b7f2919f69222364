"""A batch that two workers share."""

from pathlib import Path

from llm_explainer.tutorial.drawing import (
    BLUE,
    GREEN,
    INK,
    arrow,
    bare,
    box,
    new_figure,
    plus,
    save,
    style,
)


def draw(folder: Path) -> None:
    """Draw a batch, its two shards, their gradients, the sum, and the step."""
    with style():
        figure, axes = new_figure(8.2, 2.6)
        bare(axes, 16.4, 5.2)
        for row in range(4):
            box(axes, (1.4, 3.8 - 0.8 * row), f"text {row + 1}", width=1.8, height=0.6, color=INK)
        for y, color, name in ((3.9, BLUE, "worker 1"), (1.3, GREEN, "worker 2")):
            box(axes, (5.6, y), name, width=2.4, height=0.9, color=color, lit=True)
            box(axes, (9.4, y), "gradient\nof its texts", width=2.4, height=1.1, color=color)
            arrow(axes, (6.8, y), (8.2, y))
            arrow(axes, (10.6, y), (12.0, 2.6 + (y - 2.6) * 0.25))
        for row in range(4):
            arrow(axes, (2.3, 3.8 - 0.8 * row), (4.4, 3.9 if row < 2 else 1.3))
        plus(axes, (12.45, 2.6))
        arrow(axes, (12.9, 2.6), (13.7, 2.6))
        box(axes, (14.9, 2.6), "one step", width=2.2, height=0.9, color=INK)
        axes.text(5.6, 5.0, "both read the same weights", ha="center", fontsize=8)
        axes.text(1.4, 5.0, "a batch", ha="center", fontsize=8)
        save(figure, folder / "12-shards.svg")
