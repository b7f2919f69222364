"""What softmax makes of the scores of wide heads, with and without the root of H."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial.drawing import BLUE, RED, new_figure, save, style

WIDTHS = 2 ** np.arange(11)
"""Of a head: 1 to 1024."""


def draw(folder: Path) -> None:
    """Draw the largest of six weights, and the size of the gradient that comes back."""
    rng = np.random.default_rng(0)
    found: dict[str, list[list[float]]] = {"undivided": [], "divided": []}
    for width in WIDTHS:
        q, k = rng.normal(size=(1000, 1, width)), rng.normal(size=(1000, width, 6))
        dweights = rng.normal(size=(1000, 1, 6))
        for name, scale in (("undivided", 1.0), ("divided", width**-0.5)):
            weights, backward = plain.softmax(q @ k * scale)
            gradient = np.linalg.norm(backward(dweights), axis=-1).mean()
            found[name].append([weights.max(-1).mean(), gradient])
    with style():
        figure, axes = new_figure(7.2, 2.7, columns=2)
        for name, color, label in (("undivided", RED, "scores as they are"),
                                   ("divided", BLUE, "divided by the root of H")):  # fmt: skip
            for panel, values in zip(axes, np.array(found[name]).T, strict=True):
                panel.plot(WIDTHS, values, "o-", color=color, label=label, markersize=4)
        for panel, title in zip(axes, ("largest of 6 weights", "gradient through softmax (length)"),
                                strict=True):  # fmt: skip
            panel.set_xscale("log", base=2)
            panel.set(xlabel="H, numbers in a head", title=title, ylim=(0, None))
        axes[0].legend()
        save(figure, folder / "04-scale.svg")
