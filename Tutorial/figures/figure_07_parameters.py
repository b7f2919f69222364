"""Which part of a model's parameters is where."""

from pathlib import Path

from llm_explainer.config import ModelConfig
from llm_explainer.tutorial import hand_model, story_model
from llm_explainer.tutorial.drawing import (
    BLUE,
    GREEN,
    INK,
    ON_COLOR,
    ORANGE,
    PURPLE,
    new_figure,
    save,
    style,
)

PARTS = {
    "token table": BLUE,
    "position table": PURPLE,
    "attention": ORANGE,
    "feed-forward": GREEN,
    "norms": INK,
}


def draw(folder: Path) -> None:
    """Draw a bar for each of four models."""
    configs = {
        "hand-sized": hand_model()[1],
        "story model": story_model()[0].config,
        "GPT-2 small": ModelConfig.preset("gpt2-small"),
        "GPT-2 medium": ModelConfig.preset("gpt2-medium"),
    }
    with style():
        figure, axes = new_figure(7.6, 2.7)
        for row, config in enumerate(configs.values()):
            parts, start = _count(config), 0.0
            total = config.count_parameters()
            for (part, color), size in zip(PARTS.items(), parts, strict=True):
                share = size / total
                label = part if row == 0 else None
                axes.barh(-row, share, left=start, color=color, label=label)
                if share > 0.06:
                    axes.text(
                        start + share / 2,
                        -row,
                        f"{share:.0%}",
                        ha="center",
                        va="center",
                        color=ON_COLOR,
                    )
                start += share
            axes.text(1.01, -row, f"{total:,}", va="center", fontsize=8)
        axes.set_yticks([-row for row in range(len(configs))], list(configs))
        axes.set(xlim=(0, 1), xticks=[], title="parameters")
        axes.spines["bottom"].set_visible(False)
        figure.legend(loc="outside lower center", ncols=len(PARTS), fontsize=8)
        save(figure, folder / "07-parameters.svg")


def _count(c: ModelConfig) -> list[int]:
    """Return the parameters of each part, by formula; the norms are what remains."""
    kv, bias = c.n_kv_heads * c.head_dim, int(c.bias)
    tokens = c.vocab_size * c.d_model
    positions = c.context_length * c.d_model if c.position == "learned" else 0
    attention = c.d_model * (c.d_model + 2 * kv) + c.d_model**2
    attention += bias * (2 * c.d_model + 2 * kv)
    n_wide = 2 if c.activation == "swiglu" else 1
    feed_forward = (n_wide + 1) * c.d_model * c.d_ff + bias * (n_wide * c.d_ff + c.d_model)
    known = [tokens, positions, c.n_layers * attention, c.n_layers * feed_forward]
    return [*known, c.count_parameters() - sum(known)]
