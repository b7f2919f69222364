"""The two pairs of a vector of four channels, turned to six positions."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import hand_model
from llm_explainer.tutorial.drawing import BLUE, INK, ORANGE, arrow, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw the vector of "fox"."""
    parameters, _ = hand_model()
    fox = parameters["token_embedding"]["weight"][6]
    turned, _ = plain.rotate(np.tile(fox, (6, 1)), np.arange(6), theta=10_000.0)  # (T, H)
    titles = ("channels 0 and 2: 1 radian a token", "channels 1 and 3: 0.01 radians a token")
    with style():
        figure, dials = new_figure(7.2, 3.6, columns=2)
        for pair, (dial, color) in enumerate(zip(dials, (BLUE, ORANGE), strict=True)):
            hands = turned[:, [pair, pair + 2]]  # (T, 2)
            radius = float(np.linalg.norm(hands[0]))
            angle = np.linspace(0, 2 * np.pi, 100)
            dial.plot(radius * np.cos(angle), radius * np.sin(angle), color=INK, linewidth=0.8)
            for position, (x, y) in enumerate(hands):
                arrow(dial, (0, 0), (x, y), color=color)
                if pair == 0 or position in (0, 5):
                    down = 0 if pair == 0 else -0.12 if position == 0 else 0.12
                    dial.text(1.15 * x, 1.15 * y + down * radius, str(position), ha="center",
                              va="center", color=color)  # fmt: skip
            dial.set(xlim=(-1.3 * radius, 1.3 * radius), ylim=(-1.3 * radius, 1.3 * radius))
            dial.set_aspect("equal")
            dial.axis("off")
            dial.set_title(titles[pair])
        save(figure, folder / "03-rotation.svg")
