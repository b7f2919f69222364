"""What becomes of numbers and of gradients in 24 layers, without frames and with pre-norm."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial.drawing import BLUE, ORANGE, new_figure, save, style

DEPTH, D = 24, 64
SIZES = (0.05, 0.125, 0.25)


def draw(folder: Path) -> None:
    """Draw the size of the numbers and of the gradient by layer."""
    with style():
        figure, axes = new_figure(8.8, 3.0, columns=2)
        for color, is_pre, kind in ((ORANGE, False, "layers alone"), (BLUE, True, "pre-norm")):
            for size, dashes in zip(SIZES, ("-", "--", ":"), strict=True):
                label = f"{kind}, weights {size}"
                for here, values in zip(axes, _measure(size, is_pre), strict=True):
                    here.semilogy(values, dashes, color=color, label=label)
        axes[0].set(title="size of the numbers", xlabel="layers passed")
        axes[1].set(title="gradient, over that of the top", xlabel="layers below it")
        axes[0].set_ylim(1e-29, 1e13)
        axes[1].set_ylim(1e-29, 1e13)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", fontsize=7)
        save(figure, folder / "06-depth.svg")


def _measure(size: float, is_pre: bool) -> tuple[list[float], list[float]]:
    """Return the spread of the numbers from the bottom up, and the gradients' lengths."""
    norm = {"weight": np.ones(D), "bias": np.zeros(D)}
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, D))
    spreads, backwards = [float(x.std())], []
    for _ in range(DEPTH):
        first, second = rng.normal(size=(2, D, D)) * size
        read, norm_backward = plain.layer_norm(x, norm, 1e-5) if is_pre else (x, None)
        up, up_backward = plain.linear(read, {"weight": first})
        bent, bend_backward = plain.gelu(up)
        y, down_backward = plain.linear(bent, {"weight": second})
        x = x + y if is_pre else y
        spreads.append(float(x.std()))
        backwards.append((norm_backward, up_backward, bend_backward, down_backward))
    dx = rng.normal(size=x.shape)
    lengths = [float(np.linalg.norm(dx))]
    for norm_backward, up_backward, bend_backward, down_backward in reversed(backwards):
        dread = up_backward(bend_backward(down_backward(dx)[0]))[0]
        dx = dx + norm_backward(dread)[0] if norm_backward else dread
        lengths.append(float(np.linalg.norm(dx)))
    return spreads, [length / lengths[0] for length in reversed(lengths)]
