"""Three of the six ids, and the rows of the table that they stand for."""

from pathlib import Path

from llm_explainer.tutorial import IDS, WORDS, hand_model
from llm_explainer.tutorial.drawing import (
    BLUE,
    COLORS,
    arrow,
    box,
    heatmap,
    new_figure,
    save,
    style,
)


def draw(folder: Path) -> None:
    """Draw ids, table and vectors."""
    parameters, _ = hand_model()
    table = parameters["token_embedding"]["weight"]
    with style():
        figure, axes = new_figure(8.2, 4.0)
        heatmap(axes, table, digits=1, limit=1.5)
        axes.set(xlim=(-7.6, 9.6), ylim=(7.7, -1.2))  # row i lies at height i
        axes.axis("off")
        for i, word in enumerate(WORDS):
            axes.text(-0.7, i, f"{word.strip()}  {i}", ha="right", va="center")
        axes.text(1.5, -0.8, "the table, (V, D)", ha="center", va="center")
        for i in IDS:
            box(axes, (-5.7, i), f"{WORDS[i].strip()}: {i}", width=2.3, color=BLUE)
        for color, i in zip(COLORS, (1, 5, 6), strict=False):
            numbers = ", ".join(f"{number:.1f}" for number in table[i])
            arrow(axes, (-4.5, i), (-2.6, i), color=color)
            arrow(axes, (3.6, i), (4.6, i), color=color)
            box(axes, (7.0, i), f"{WORDS[i].strip()}  [{numbers}]", width=4.6, color=color)
        save(figure, folder / "02-lookup.svg")
