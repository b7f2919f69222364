"""Windows over a text with two strides, and the targets of each."""

from pathlib import Path

import numpy as np

from llm_explainer.data.windows import sliding_windows
from llm_explainer.tutorial.drawing import (
    BLUE,
    COLORS,
    INK,
    bare,
    box,
    new_figure,
    save,
    style,
)

VERDICT = [40, 367, 2885, 1464, 1807, 3619, 402, 271, 10899]
"""How The Verdict (Wharton 1908) begins, in GPT-2's ids."""


def draw(folder: Path) -> None:
    """Draw inputs filled and targets empty, each where its token stands."""
    places = np.arange(len(VERDICT))
    with style():
        figure, axes = new_figure(7.4, 4.2)
        bare(axes, 13.2, 7.6)
        _row(axes, 7.1, "the text", places, INK, lit=False)
        height = 6.1
        for stride in (4, 2):
            axes.text(0.1, height, f"stride {stride}", ha="left", va="center", color=BLUE)
            inputs, targets = sliding_windows(places, 4, stride)
            for color, row_in, row_out in zip(COLORS, inputs, targets, strict=False):
                _row(axes, height, "", row_in, color, lit=True)
                _row(axes, height - 0.55, "", row_out, color, lit=False)
                height -= 1.2
        axes.text(0.1, height + 0.35, "filled: input. Empty: target, one place on.", va="center",
                  ha="left", fontsize=8)  # fmt: skip
        save(figure, folder / "01-windows.svg")


def _row(axes, height: float, name: str, places: np.ndarray, color: str, lit: bool) -> None:
    axes.text(0.1, height, name, ha="left", va="center")
    for place in places:
        middle = (2.6 + 1.2 * place, height)
        box(axes, middle, str(VERDICT[place]), width=1.1, height=0.45, color=color, lit=lit)
