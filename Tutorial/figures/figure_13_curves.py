"""The failure lab's runs: what the loss shows of each fault, from the committed log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_explainer.tutorial.drawing import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    new_figure,
    save,
    style,
)
from llm_explainer.tutorial.thread import tutorial_folder

if TYPE_CHECKING:
    from matplotlib.axes import Axes

EVERY = 10
"""Steps of which the log keeps the mean."""


def draw(folder: Path) -> None:
    """Draw the runs with a wrong line, then those with a setting that is wrong."""
    log = json.loads((tutorial_folder() / "runs" / "failures.json").read_text("utf-8"))
    with style():
        figure, axes = new_figure(8.6, 3.2, columns=2)
        curves(axes[0], log, {"right": BLUE, "leaky mask": RED})
        in_use = log["leaky mask"]["in_use"]
        axes[0].axhline(in_use, color=RED, linewidth=1, linestyle="--")
        axes[0].text(400, in_use - 0.1, "leaky mask, in use", ha="right", va="top", fontsize=8)
        axes[0].set_title("the forward pass is wrong")
        colors = {"residual dropped": RED, "tie forgotten": ORANGE, "keys dropped": GREEN}
        curves(axes[1], log, {**colors, "root forgotten backward": PURPLE, "right": BLUE})
        axes[1].set_title("the backward pass is wrong")
        save(figure, folder / "13-curves.svg")
        figure, axes = new_figure(8.6, 3.2, columns=2)
        settings = {"rate 1e-1": RED, "rate 1e-2, no warm-up": ORANGE, "no warm-up": GREEN}
        curves(axes[0], log, {**settings, "rate 1e-2": PURPLE, "right": BLUE})
        axes[0].set_title("rate and warm-up")
        curves(axes[1], log, {"one wide head, no root": RED, "one wide head": BLUE})
        axes[1].set_title("a head that is wide")
        save(figure, folder / "13-settings.svg")


def curves(axes: Axes, log: dict[str, Any], colors: dict[str, str]) -> None:
    """Draw the losses of some runs over the steps."""
    for name, color in colors.items():
        losses = log[name]["losses"]
        steps = [EVERY * i + EVERY / 2 for i in range(len(losses))]
        axes.plot(steps, losses, color=color, label=name, linewidth=1.3)
    axes.set(xlabel="step", ylim=(0, 7.4))
    axes.tick_params(colors=INK)
    axes.legend(fontsize=8, loc="lower left")
