"""The same training step, rung by rung: how long it takes, from a measured log."""

import json
from pathlib import Path

from llm_explainer.tutorial.drawing import BLUE, GREEN, ORANGE, new_figure, save, style
from llm_explainer.tutorial.thread import tutorial_folder


def draw(folder: Path) -> None:
    """Draw a bar for each rung, as long as the logarithm of its milliseconds."""
    text = (tutorial_folder() / "runs" / "ladder.json").read_text("utf-8")
    rungs = json.loads(text)["rungs"]
    slowest = rungs[0]["ms"]
    with style():
        figure, axes = new_figure(7.6, 3.2)
        for place, rung in enumerate(rungs):
            name, ms = rung["rung"], rung["ms"]
            color = ORANGE if place < 2 else GREEN if name.startswith("MLX") else BLUE
            axes.barh(place, ms - 1, left=1, height=0.62, color=color)
            label = f"{ms:,.0f} ms" if ms > 100 else f"{ms:.1f} ms"
            label += f", {slowest / ms:,.0f} times as fast" if place else ""
            axes.text(1.03 * ms, place, label, va="center", fontsize=8)
        axes.set_xscale("log")
        axes.set(xlim=(1, 100_000), xlabel="milliseconds for a step")
        axes.set_xticks([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1,000", "10,000"])
        axes.minorticks_off()
        axes.set_yticks(range(len(rungs)), [rung["rung"] for rung in rungs])
        axes.invert_yaxis()
        axes.tick_params(axis="y", length=0)
        save(figure, folder / "12-ladder.svg")
