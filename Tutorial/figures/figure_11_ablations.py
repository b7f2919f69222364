"""What each switch did to the loss on unseen stories: a dot for each seed, from the stored runs."""

import json
from pathlib import Path

from llm_explainer.tutorial.drawing import BLUE, INK, ORANGE, new_figure, save, style
from llm_explainer.tutorial.thread import tutorial_folder

MODELS = (
    *("GPT-2", "RMS norm", "RoPE", "SwiGLU"),
    *("no biases", "grouped heads", "all five"),
)


def draw(folder: Path) -> None:
    """Draw a row of dots for each model; what the runs of GPT-2 span is shaded."""
    path = tutorial_folder() / "runs" / "ablations.json"
    log = json.loads(path.read_text("utf-8"))
    with style():
        figure, axes = new_figure(6.4, 2.9)
        for row, name in enumerate(MODELS):
            ends = [run[-1] for run in log[name]["losses"]]
            if name == "GPT-2":
                axes.axvspan(min(ends), max(ends), color=INK, alpha=0.2, linewidth=0)
            axes.axhline(row, color=INK, linewidth=0.4, alpha=0.6)
            color = ORANGE if name in ("GPT-2", "all five") else BLUE
            axes.plot(ends, [row] * len(ends), "o", color=color, markersize=6, alpha=0.75)
        axes.set_yticks(range(len(MODELS)), MODELS)
        axes.set_ylim(len(MODELS) - 0.5, -0.5)
        axes.set(xlabel="loss on unseen stories, nats a token", title="three runs of each model")
        axes.tick_params(axis="y", length=0)
        save(figure, folder / "11-ablations.svg")
