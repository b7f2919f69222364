"""A run's loss as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from llm_explainer.picture import save_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMOOTHING = 0.95
"""Weight of the past in the smoothed loss: an average over about the last 20 steps."""


def smooth(losses: list[float]) -> list[float]:
    """Return the exponential moving average of a series, without Adam's cold start.

    >>> smooth([2.0, 2.0])
    [2.0, 2.0]
    """
    smoothed, total, weight = [], 0.0, 0.0
    for loss in losses:
        total = SMOOTHING * total + (1 - SMOOTHING) * loss
        weight = SMOOTHING * weight + (1 - SMOOTHING)
        smoothed.append(total / weight)
    return smoothed


def draw_loss_curve(events: list[dict[str, Any]], path: Path, title: str) -> None:
    """Draw training and validation loss against steps into a PNG; arguments as below."""
    save_picture(loss_figure(events, title), path)


def loss_figure(events: list[dict[str, Any]], title: str) -> Figure:
    """Return training and validation loss against steps as a picture.

    Args:
        events: of a run log, as ``read_log`` returns them
        title: the run's name
    """
    # Matplotlib takes half a second to load, so only here.
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    steps = [event for event in events if event["event"] == "step"]
    evaluations = [e for e in events if e["event"] == "evaluation" and not e["whole"]]
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    x = [event["step"] for event in steps]
    losses = [event["loss"] for event in steps]
    axes.plot(x, losses, color="#9ecae1", linewidth=0.8, label="training, each step")
    axes.plot(x, smooth(losses), color="#2171b5", linewidth=1.6, label="training, smoothed")
    if evaluations:
        axes.plot(
            [event["step"] for event in evaluations],
            [event["loss"] for event in evaluations],
            color="#e6550d",
            marker="o",
            markersize=4,
            linewidth=1.2,
            label="validation",
        )
        last = evaluations[-1]
        axes.annotate(
            f"{last['loss']:.4f}",
            (last["step"], last["loss"]),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            color="#e6550d",
        )
    # A logarithmic scale, because what is learnt last is small beside the first fall.
    axes.set(xlabel="step", ylabel="loss (nats a token)", title=title, yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
