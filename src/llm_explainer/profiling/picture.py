"""A profile as bars: the layers' milliseconds, cut into kinds of work."""

from __future__ import annotations

from pathlib import Path

from llm_explainer.picture import save_picture
from llm_explainer.profiling.arrays import ELEMENTWISE, MOVING, PRODUCTS
from llm_explainer.profiling.step import PYTHON, Profile

COLOURS = {PRODUCTS: "#2171b5", ELEMENTWISE: "#fdae6b", MOVING: "#c7a5d8", PYTHON: "#b0b0b0"}


def draw_profile(profile: Profile, path: Path, title: str) -> None:
    """Draw one bar a layer into a PNG, and what its products would take at the machine's peak."""
    # Matplotlib takes half a second to load, so only here.
    from matplotlib.figure import Figure

    layers = [layer for layer, kinds in profile.work.items() if sum(kinds.values()) > 0]
    figure = Figure(figsize=(9, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    left = [0.0] * len(layers)
    for kind, colour in COLOURS.items():
        widths = [1e3 * profile.work[layer][kind] for layer in layers]
        axes.barh(layers, widths, left=left, color=colour, label=kind, height=0.7)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for place, (layer, end) in enumerate(zip(layers, left, strict=True)):
        share = 1e-3 * end / profile.work_seconds
        axes.annotate(
            f"{share:.0%}", (end, place), xytext=(4, 0), textcoords="offset points", va="center"
        )
        # One core's peak, because the bars add up what all cores do.
        peak = profile.peak.flops / profile.workers
        at_peak = 1e3 * profile.tally(PRODUCTS, [layer]).flops / peak
        if at_peak > 0.005 * max(left):
            axes.vlines(at_peak, place - 0.35, place + 0.35, color="black")
    axes.plot([], [], color="black", label="products at sgemm's peak")  # for the legend
    axes.invert_yaxis()
    axes.set(xlabel="milliseconds of a step's work, all cores added up", title=title)
    axes.margins(x=0.08)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(frameon=False, loc="lower right")
    save_picture(figure, path)
