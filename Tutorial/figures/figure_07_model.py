"""The whole model as a tower, with the shape of what goes up."""

from pathlib import Path

from llm_explainer.tutorial.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    arrow,
    bare,
    box,
    new_figure,
    save,
    style,
)

X, STEP = 4.2, 1.0


def draw(folder: Path) -> None:
    """Draw from the ids at the bottom to the logits at the top."""
    steps = [
        ("ids", INK, "(B, T)"),
        ("token table", BLUE, "(B, T, D)"),
        ("+ positions", PURPLE, "(B, T, D)"),
        ("+ attention of the norm", ORANGE, "(B, T, D)"),
        ("+ feed-forward of the norm", GREEN, "(B, T, D)"),
        ("norm", INK, "(B, T, D)"),
        ("head: the token table", BLUE, "(B, T, V)"),
        ("logits", INK, ""),
    ]
    with style():
        figure, axes = new_figure(6.4, 5.6)
        bare(axes, 9.4, STEP * len(steps) + 0.3)
        for i, (name, color, shape) in enumerate(steps):
            y = 0.6 + STEP * i
            box(axes, (X, y), name, width=3.6, height=0.55, color=color, lit=color != INK)
            if i + 1 < len(steps):
                arrow(axes, (X, y + 0.28), (X, y + STEP - 0.28), shape)
        low, high = 0.6 + STEP * 3 - 0.42, 0.6 + STEP * 4 + 0.42
        axes.plot([6.15, 6.4, 6.4, 6.15], [low, low, high, high], color=INK, linewidth=1)
        axes.text(6.55, (low + high) / 2, "a block,\nas often as\nn_layers says", va="center")
        first, last = 0.6 + STEP, 0.6 + STEP * 6
        left = X - 1.8
        axes.plot([left, 1.5, 1.5, left], [first, first, last, last], color=BLUE, linestyle="--")
        tied = "tied:\none table,\nused twice"
        axes.text(1.35, (first + last) / 2, tied, ha="right", va="center", color=BLUE)
        save(figure, folder / "07-model.svg")
