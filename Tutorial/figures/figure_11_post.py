"""Pre-norm beside post-norm: the gradient of each block at the start, and eight blocks trained."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer import ModelConfig, plain
from llm_explainer.tutorial.drawing import BLUE, INK, ORANGE, new_figure, save, style
from llm_explainer.tutorial.thread import tutorial_folder

CONFIG = ModelConfig(vocab_size=8, context_length=32, d_model=64, n_layers=8, n_heads=4, bias=False)
COLORS = {"pre": BLUE, "post": ORANGE}
SHAPES = {
    **{"qkv_proj": (192, 64), "out_proj": (64, 64)},
    **{"up_proj": (256, 64), "down_proj": (64, 256)},
}


def draw(folder: Path) -> None:
    """Draw two panels: over the blocks, and over the steps."""
    log = json.loads((tutorial_folder() / "runs" / "ablations.json").read_text("utf-8"))
    blocks = range(1, CONFIG.n_layers + 1)
    with style():
        figure, axes = new_figure(8.4, 2.9, columns=2)
        for where, color in COLORS.items():
            lengths = gradient_by_block(where)
            axes[0].plot(blocks, lengths, "o-", color=color, markersize=4, label=f"{where}-norm")
            runs = log[f"8 blocks, {where}"]
            for losses in runs["losses"]:
                axes[1].plot(runs["steps"], losses, color=color, linewidth=1.2)
        axes[0].set(title="at the start: length of a block's gradient", xlabel="block")
        axes[0].set_ylim(0, None)
        axes[0].legend(loc="lower left")
        often = log["tokens"]["how_often"]
        axes[1].axhline(often, color=INK, linewidth=0.8, linestyle="--")
        axes[1].text(
            300, often - 0.05, "how often each token comes", ha="right", va="top", fontsize=8
        )
        axes[1].set(title="trained: loss on unseen stories", xlabel="step")
        axes[1].set_ylim(2.5, 5.5)
        save(figure, folder / "11-post.svg")


def gradient_by_block(norm_position: Any) -> list[float]:
    """Return the length of ``down_proj``'s gradient in each block, with a random one at the top."""
    rng, config = np.random.default_rng(0), replace(CONFIG, norm_position=norm_position)
    x, backwards = rng.normal(size=(2, 32, 64)), []  # (B, T, D)
    for _ in range(config.n_layers):
        x, backward = plain.block(x, fresh_block(rng), config)
        backwards.append(backward)
    if norm_position == "pre":
        x, final_backward = plain.layer_norm(x, {"weight": np.ones(64)}, 1e-5)
    dx = rng.normal(size=x.shape) / np.sqrt(x.size)
    if norm_position == "pre":
        dx, _ = final_backward(dx)
    lengths = []
    for backward in reversed(backwards):
        dx, grads = backward(dx)
        lengths.append(float(np.linalg.norm(grads["feed_forward"]["down_proj"]["weight"])))
    return lengths[::-1]


def fresh_block(rng: np.random.Generator) -> dict[str, Any]:
    """Return random weights that keep the size of what they multiply."""
    layers = {n: {"weight": rng.normal(size=s) / np.sqrt(s[1])} for n, s in SHAPES.items()}
    return {
        **{f"{name}_norm": {"weight": np.ones(64)} for name in ("attention", "feed_forward")},
        "attention": {name: layers[name] for name in ("qkv_proj", "out_proj")},
        "feed_forward": {name: layers[name] for name in ("up_proj", "down_proj")},
    }
