"""How the residual stream of the trained model grows, sum by sum."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import SENTENCE, WORDS, story_model
from llm_explainer.tutorial.drawing import BLUE, GREEN, INK, new_figure, save, style


def draw(folder: Path) -> None:
    """Draw the length of every word's vector, and what each layer adds to that of "fox"."""
    model, tokenizer = story_model()
    ids = np.array([tokenizer.encode(SENTENCE)])
    seen: dict[str, np.ndarray] = {}
    plain.gpt(ids, model.parameters(), model.config, seen.__setitem__)
    places, layers = ["embeddings"], []
    for i in range(model.config.n_layers):
        places += [f"blocks.{i}.residual", f"blocks.{i}"]
        layers += [f"blocks.{i}.attention", f"blocks.{i}.feed_forward"]
    lengths = np.array([_lengths(seen[place]) for place in places])  # (places, T)
    added = [_lengths(seen[layer])[-1] for layer in layers]
    with style():
        figure, axes = new_figure(8.2, 3.2, columns=2)
        for token, word in enumerate(WORDS[1:7]):
            is_last = token == len(WORDS[1:7]) - 1
            color, label = (BLUE, "fox") if is_last else (INK, None)
            axes[0].semilogy(lengths[:, token], color=color, label=label, linewidth=1 + is_last)
            if lengths[-1, token] > 100:
                axes[0].text(6.1, lengths[-1, token], word.strip(), va="center", fontsize=8)
        ticks = ["start", *(f"{kind} {i}" for i in range(3) for kind in ("attn", "ff"))]
        axes[0].set_xticks(range(len(places)), ticks, rotation=45, ha="right")
        axes[0].set(title="length of the stream's vectors", xlim=(0, 6.8))
        axes[0].legend(loc="upper left")
        colors = [BLUE, GREEN] * model.config.n_layers
        axes[1].bar(range(len(layers)), added, color=colors, alpha=0.7)
        for i, length in enumerate(added):
            axes[1].text(i, length, f"{length:.1f}", ha="center", va="bottom", fontsize=8)
        axes[1].set_xticks(range(len(layers)), ticks[1:], rotation=45, ha="right")
        axes[1].set(title='length of what each layer adds to "fox"')
        save(figure, folder / "06-stream.svg")


def _lengths(x: np.ndarray) -> np.ndarray:
    """Return the length of each token's vector, (1, T, D) -> (T,)."""
    return np.linalg.norm(x[0].astype(float), axis=-1)
