"""How long the gradient of each array of the trained model is, for the thread's sentence."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tree import flatten
from llm_explainer.tutorial import SENTENCE, story_model
from llm_explainer.tutorial.drawing import COLORS, INK, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw a bar for each array, a colour for each block."""
    model, tokenizer = story_model()
    text = np.array([tokenizer.encode(SENTENCE + " named")])
    logits, backward = plain.gpt(text[:, :-1], model.parameters(), model.config)
    _, loss_backward = plain.cross_entropy(logits, text[:, 1:])
    lengths = {
        name: float(np.linalg.norm(g.astype(float)))
        for name, g in flatten(backward(loss_backward())).items()
    }
    with style():
        figure, axes = new_figure(7.8, 3.4)
        for place, (name, length) in enumerate(lengths.items()):
            words = name.removesuffix(".weight").split(".")
            color = COLORS[int(words[1])] if words[0] == "blocks" else INK
            axes.bar(place, length, color=color, alpha=0.75)
        labels = [name.removesuffix(".weight").split(".")[-1] for name in lengths]
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right", fontsize=7)
        axes.set(yscale="log", title="length of the gradient", xlim=(-0.7, len(labels) - 0.3))
        for block in range(model.config.n_layers):
            first = next(i for i, name in enumerate(lengths) if name.startswith(f"blocks.{block}"))
            axes.text(first, 1.0, f"block {block}", color=COLORS[block], va="top",
                      transform=axes.get_xaxis_transform())  # fmt: skip
        save(figure, folder / "07-gradients.svg")
