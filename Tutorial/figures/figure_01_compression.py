"""How many bytes a token holds, over the size of the vocabulary."""

from pathlib import Path

from llm_explainer.data.stories import stories_text
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tutorial.drawing import BLUE, ORANGE, new_figure, save, style

SIZES = (257, 320, 400, 512, 640, 800, 1024, 1280)
GERMAN = (
    "Es war einmal ein scheuer Fuchs, der lebte tief im Wald bei einem alten Baum. Eines Tages "
    "kam ein Igel vorbei und fragte, ob er mit ihm spielen wolle."
)


def draw(folder: Path) -> None:
    """Draw it for other stories than those learned from, and for a text of another language."""
    learned_from = list(stories_text(100_000))
    texts = {"stories": "\n".join(stories_text(20_000, seed=9)), "German": GERMAN}
    found: dict[str, list[float]] = {name: [] for name in texts}
    for size in SIZES:
        tokenizer = BPETokenizer.train(learned_from, vocab_size=size)
        for name, text in texts.items():
            found[name].append(len(text.encode()) / len(tokenizer.encode(text)))
    with style():
        figure, axes = new_figure(6.4, 3.0)
        for (name, values), color in zip(found.items(), (BLUE, ORANGE), strict=True):
            axes.plot(SIZES, values, "o-", color=color, label=name, markersize=4)
        axes.set(xlabel="tokens in the vocabulary", ylabel="bytes a token", ylim=(0, None))
        axes.legend()
        save(figure, folder / "01-compression.svg")
