"""Widen, bend, narrow: the vector of "fox" on its way through the feed-forward network."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import IDS, hand_model
from llm_explainer.tutorial.drawing import BLUE, INK, ORANGE, new_figure, save, style

STEPS = (
    ("feed_forward_norm", "x, 4 numbers", "widen"),
    ("feed_forward.up_proj", "u, 8 neurons", "bend"),
    ("feed_forward.hidden", "h, bent", "narrow"),
    ("feed_forward", "y, 4 numbers", ""),
)


def draw(folder: Path) -> None:
    """Draw four arrays as bars."""
    parameters, config = hand_model()
    seen: dict[str, np.ndarray] = {}
    plain.gpt(np.array([IDS]), parameters, config, seen.__setitem__)
    with style():
        figure, axes = new_figure(8.4, 2.6, columns=len(STEPS))
        for here, (name, title, then) in zip(axes, STEPS, strict=True):
            values = seen[f"blocks.0.{name}"][0, 5]
            places = np.arange(len(values)) + (8 - len(values)) / 2  # in the middle of eight
            colors = [BLUE if value >= 0 else ORANGE for value in values]
            here.bar(places, values, color=colors, alpha=0.75)
            for place, value in zip(places, values, strict=True):
                side, gap = ("bottom", 0.05) if value >= 0 else ("top", -0.1)
                here.text(place, value + gap, f"{value:.1f}", ha="center", va=side, fontsize=7)
            here.axhline(0, color=INK, linewidth=0.8)
            here.set(title=title, xlim=(-0.7, 7.7), ylim=(-2.4, 2.2))
            here.axis("off")
            if then:
                here.text(1.02, 0.08, f"{then} →", transform=here.transAxes, ha="center")
        save(figure, folder / "05-idea.svg")
