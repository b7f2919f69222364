"""A whole training: the loss, the rate and the gradient's length, from the log of a real run."""

import json
import math
from pathlib import Path

from llm_explainer.tutorial.drawing import BLUE, GREEN, INK, ORANGE, new_figure, save, style
from llm_explainer.tutorial.thread import tutorial_folder

VOCABULARY = 1280


def draw(folder: Path) -> None:
    """Draw three panels over the steps."""
    lines = (tutorial_folder() / "runs" / "quick.jsonl").read_text("utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    steps = [entry for entry in entries if "grad_norm" in entry]
    measured = [entry for entry in entries if "val_loss" in entry]
    x = [entry["step"] for entry in steps]
    with style():
        figure, axes = new_figure(9.0, 2.9, columns=3)
        axes[0].semilogy(x, [e["loss"] for e in steps], color=BLUE, linewidth=1, label="batch")
        axes[0].semilogy(
            [e["step"] for e in measured],
            [e["val_loss"] for e in measured],
            "o-",
            color=ORANGE,
            markersize=3,
            label="unseen stories",
        )
        axes[0].axhline(math.log(VOCABULARY), color=INK, linewidth=0.8, linestyle="--")
        axes[0].text(
            x[-1], math.log(VOCABULARY), "blind guess", ha="right", va="bottom", fontsize=8
        )
        axes[0].set_yticks([0.3, 1, 3, 7], ["0.3", "1", "3", "7"])
        axes[0].minorticks_off()
        axes[0].set_title("loss, nats a token")
        axes[0].legend(loc="center right")
        axes[1].plot(x, [e["learning_rate"] for e in steps], color=GREEN)
        axes[1].set_title("learning rate")
        axes[2].plot(x, [e["grad_norm"] for e in steps], color=BLUE, linewidth=1)
        axes[2].axhline(1, color=INK, linewidth=0.8, linestyle="--")
        axes[2].text(x[-1], 1.03, "clipped above", ha="right", va="bottom", fontsize=8)
        axes[2].set_title("length of the gradient")
        for here in axes:
            here.set_xlabel("step")
        save(figure, folder / "08-curve.svg")
