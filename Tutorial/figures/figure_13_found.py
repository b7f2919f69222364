"""Which measurement finds which fault, measured on the hand-sized model."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np

from llm_explainer import plain
from llm_explainer.gradcheck import compare, numeric_gradient
from llm_explainer.tree import flatten
from llm_explainer.tutorial import IDS, hand_model
from llm_explainer.tutorial.drawing import BLUE, INK, ON_COLOR, bare, new_figure, save, style
from llm_explainer.tutorial.faults import FAULTS, plain_with

TESTS = ("a future token\nis changed", "logits beside\na twin's", "every gradient\nis measured")


def draw(folder: Path) -> None:
    """Draw a table: a full square where the measurement finds the fault."""
    with style():
        figure, axes = new_figure(6.6, 3.6)
        bare(axes, 9.6, 4.9)
        for column, test in enumerate(TESTS):
            axes.text(4.3 + 2 * column, 4.5, test, ha="center", va="center", fontsize=8)
        for row, (name, fault) in enumerate(FAULTS.items()):
            y = 3.7 - 0.65 * row
            axes.text(3.1, y, name, ha="right", va="center")
            for column, found in enumerate(findings(plain_with(fault))):
                x = 4.3 + 2 * column
                axes.add_patch(square(x, y, found))
                word, color = ("found", ON_COLOR) if found else ("silent", INK)
                axes.text(x, y, word, ha="center", va="center", fontsize=8, color=color)
        save(figure, folder / "13-found.svg")


def square(x: float, y: float, full: bool) -> object:
    """Return a field of the table."""
    from matplotlib.patches import Rectangle

    face = BLUE if full else "none"
    return Rectangle((x - 0.95, y - 0.28), 1.9, 0.56, facecolor=face, edgecolor=INK, linewidth=0.8)


def findings(broken: ModuleType) -> tuple[bool, bool, bool]:
    """Return whether each test notices."""
    parameters, config = hand_model()
    ids, other = np.array([IDS]), np.array([[*IDS[:-1], 7]])
    logits, backward = broken.gpt(ids, parameters, config)
    moved = broken.gpt(other, parameters, config)[0] - logits
    right = plain.gpt(ids, parameters, config)[0]
    upstream = np.random.default_rng(13).normal(size=logits.shape)

    def f() -> float:
        return float((broken.gpt(ids, parameters, config)[0] * upstream).sum())

    numeric = {name: numeric_gradient(f, a) for name, a in flatten(parameters).items()}
    checks = compare(flatten(backward(upstream)), numeric)
    leaks = bool(np.any(moved[:, :-1]))
    return leaks, not np.allclose(logits, right), any(c.verdict == "wrong" for c in checks)
