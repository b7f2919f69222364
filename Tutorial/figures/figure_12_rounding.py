"""How far gradients in float32 are from those in float64, for every parameter, from a log."""

import json
from pathlib import Path

from llm_explainer.parity_verdict import GRADIENT_BAR
from llm_explainer.tutorial.drawing import BLUE, GREEN, INK, ORANGE, new_figure, save, style
from llm_explainer.tutorial.thread import tutorial_folder

SPACING = 2.0**-23
"""Of float32 beside 1."""

NAMES = {"plain": "plain", "numpy": "tuned NumPy", "mlx": "MLX"}


def draw(folder: Path) -> None:
    """Draw a point for each parameter and backend, over the parameter's place in the model."""
    text = (tutorial_folder() / "runs" / "ladder.json").read_text("utf-8")
    errors = json.loads(text)["errors"]
    with style():
        figure, axes = new_figure(7.6, 3.0)
        for (key, found), color, marker in zip(
            errors.items(), (ORANGE, BLUE, GREEN), "os^", strict=False
        ):
            places, values = range(1, len(found) + 1), list(found.values())
            axes.plot(places, values, marker, color=color, markersize=4, label=NAMES[key])
        n = len(errors["plain"])
        for height, words, side in (
            (GRADIENT_BAR, "what the tests allow", "bottom"),
            (SPACING, "spacing of float32 at 1", "top"),
        ):
            axes.axhline(height, color=INK, linewidth=0.8, linestyle="--")
            axes.text(n, height, words, ha="right", va=side, fontsize=8)
        axes.set_yscale("log")
        axes.set(ylim=(2e-8, 1e-3), xlabel="array of parameters", ylabel="relative error")
        axes.set_yticks([1e-7, 1e-6, 1e-5, 1e-4, 1e-3], ["1e-7", "1e-6", "1e-5", "1e-4", "1e-3"])
        axes.minorticks_off()
        axes.legend(loc="center left")
        save(figure, folder / "12-rounding.svg")
