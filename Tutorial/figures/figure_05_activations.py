"""The three bends, and their slopes."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial.drawing import INK, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw values at the left, slopes at the right."""
    x = np.linspace(-4, 4, 321)
    with style():
        figure, axes = new_figure(7.4, 2.9, columns=2)
        for f, dashes in ((plain.relu, ":"), (plain.gelu, "-"), (plain.silu, "--")):
            y, backward = f(x)
            axes[0].plot(x, y, dashes, label=f.__name__)
            axes[1].plot(x, backward(np.ones_like(x)), dashes, label=f.__name__)
        for here, title in zip(axes, ("value", "slope"), strict=True):
            here.axhline(0, color=INK, linewidth=0.6)
            here.axvline(0, color=INK, linewidth=0.6)
            here.set(title=title, xlabel="u")
        axes[0].legend()
        save(figure, folder / "05-activations.svg")
