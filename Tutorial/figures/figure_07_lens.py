"""What the trained model would say after "fox", if it had to speak at each place of its stream."""

from pathlib import Path

import numpy as np

from llm_explainer import plain
from llm_explainer.tutorial import SENTENCE, story_model
from llm_explainer.tutorial.drawing import heatmap, new_figure, save, style

WORDS = (" fox", " pig", " donkey", " came", " named")


def draw(folder: Path) -> None:
    """Draw the chances of five words at seven places, the last place on top."""
    model, tokenizer = story_model()
    seen: dict[str, np.ndarray] = {}
    plain.gpt(np.array([tokenizer.encode(SENTENCE)]), model.parameters(), model.config,
              seen.__setitem__)  # fmt: skip
    ids = [tokenizer.encode(word)[0] for word in WORDS]
    places = {"embeddings": "looked up"}
    for i in range(model.config.n_layers):
        places |= {f"blocks.{i}.residual": f"attention {i}", f"blocks.{i}": f"feed-forward {i}"}
    chances = []
    for place in places:
        logits, _ = plain.unembed(seen[place].astype(float), model.parameters(), model.config)
        chances.append(plain.softmax(logits[0, -1])[0][ids])
    with style():
        figure, axes = new_figure(4.8, 4.4)
        names = list(places.values())[::-1]
        heatmap(axes, np.array(chances[::-1]), names, [w.strip() for w in WORDS], limit=1, digits=2)
        axes.set_title('after "fox", from the bottom to the top')
        save(figure, folder / "07-lens.svg")
