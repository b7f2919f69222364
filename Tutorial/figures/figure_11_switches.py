"""A block of GPT-2 beside a block of Llama: the same stages, five other parts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from llm_explainer.tutorial.drawing import BLUE, INK, arrow, bare, box, new_figure, save, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STREAM, BRANCH, TOP = 1.0, 3.3, 8.2
PARTS = {
    "GPT-2": (
        *("layer norm", "attention", "layer norm"),
        "up, GELU, down",
        "+ position table",
    ),
    "Llama": (
        *("RMS norm", "attention,\nq and k turned", "RMS norm"),
        "gate, up,\nproduct, down",
        "",
    ),
}
NUMBERS = ("1", "2", "1", "3")


def draw(folder: Path) -> None:
    """Draw two blocks, what differs in the second one in colour."""
    with style():
        figure, axes = new_figure(8.4, 5.0, columns=2)
        for here, (name, parts) in zip(axes, PARTS.items(), strict=True):
            bare(here, 7.0, 9.2)
            here.text(STREAM + 1.4, 8.75, name, ha="center", fontsize=11, fontweight="bold")
            draw_block(here, parts, is_llama=name == "Llama")
            draw_heads(here, is_llama=name == "Llama")
        save(figure, folder / "11-switches.svg")


def draw_block(axes: Axes, parts: tuple[str, ...], *, is_llama: bool) -> None:
    """Draw the stream from the bottom to the top, and two branches."""
    color = BLUE if is_llama else INK
    arrow(axes, (STREAM, 0.6), (STREAM, TOP))
    axes.text(STREAM, 0.45, "token vectors", ha="center", va="top", fontsize=8)
    for i, bottom in enumerate((1.4, 4.9)):
        arrow(axes, (STREAM, bottom), (BRANCH - 1.3, bottom))
        for j, height in enumerate((bottom, bottom + 1.35)):
            k = 2 * i + j
            box(axes, (BRANCH, height), parts[k], width=2.6, height=0.85, color=color)
            if is_llama:
                axes.text(BRANCH + 1.4, height + 0.3, NUMBERS[k], color=BLUE, fontweight="bold")
        arrow(axes, (BRANCH, bottom + 0.43), (BRANCH, bottom + 0.92))
        end = bottom + 2.3
        axes.plot([BRANCH, BRANCH], [bottom + 1.78, end], color=INK, linewidth=1)
        arrow(axes, (BRANCH, end), (STREAM + 0.22, end))
        axes.text(
            *(STREAM, end),
            "+",
            ha="center",
            va="center",
            bbox={"boxstyle": "circle,pad=0.15", "facecolor": "none", "edgecolor": INK},
        )
    if parts[4]:
        axes.text(STREAM + 0.25, 0.7, parts[4], va="center", fontsize=8)
    biases = "4  no biases in any layer" if is_llama else "biases in all layers"
    axes.text(BRANCH, 8.0, biases, ha="center", color=color, fontsize=9)


def draw_heads(axes: Axes, *, is_llama: bool) -> None:
    """Draw which query heads read which key heads, beside attention."""
    queries, keys = (5.45, 6.45), (5.95,) if is_llama else (5.45, 6.45)
    color = BLUE if is_llama else INK
    for i, x in enumerate(queries):
        box(axes, (x, 3.6), "q", width=0.6, height=0.5)
        key = keys[0] if is_llama else keys[i]
        axes.plot([x, key], [3.35, 2.75], color=color, linewidth=1)
    for x in keys:
        box(axes, (x, 2.5), "k, v", width=0.75, height=0.5, color=color)
    if is_llama:
        axes.text(5.3, 2.4, "5", color=BLUE, fontweight="bold", ha="right")
    axes.text(5.95, 4.05, "heads", ha="center", fontsize=8)
