"""Sinusoidal positions as colours, and how alike two places are."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial.drawing import BLUE, heatmap, new_figure, save, style

LENGTH, DIMS, PLACE = 40, 16, 20


def draw(folder: Path) -> None:
    """Draw 40 places of 16 channels."""
    table = plain.sinusoids(np.arange(LENGTH), DIMS)  # (T, D)
    with style():
        figure, (left, right) = new_figure(7.2, 3.4, columns=2)
        heatmap(left, table, limit=1)
        left.set_aspect(0.4)
        left.set_xticks(range(0, DIMS, 4), range(0, DIMS, 4))
        left.set_yticks(range(0, LENGTH, 8), range(0, LENGTH, 8))
        left.set(xlabel="channel", ylabel="position", title="sine and cosine, in turn")
        right.plot(table @ table[PLACE], color=BLUE)
        right.axvline(PLACE, color=BLUE, linewidth=0.8, linestyle=":")
        right.set(xlabel="position", ylim=(0, None), title=f"dot product with place {PLACE}")
        save(figure, folder / "03-sinusoids.svg")
