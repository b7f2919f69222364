"""The thread of the Tutorial: six tokens that go from its first chapter to its last.

Two models read them. One fits on a sheet of paper: eight words, vectors of four numbers, two heads,
one block, and every weight a number with one decimal, so that all of it can be done by hand. The
other is the one that ``run_demo.py full`` trains on the stories, as it came out of the training.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from llm_explainer.checkpoint.loading import load_checkpoint
from llm_explainer.config import ModelConfig
from llm_explainer.errors import ConfigError, LLMExplainerWarning
from llm_explainer.tree import Tree

SENTENCE = "Once there was a shy fox"
"""Six tokens of the stories' tokenizer, one a word."""

WORDS = ["<|endoftext|>", "Once", " there", " was", " a", " shy", " fox", " named"]
"""All that the hand-sized model knows: the sentence, the word after it, and where a text ends."""

IDS = [1, 2, 3, 4, 5, 6]
"""The sentence in ids of the hand-sized model: each word's place in ``WORDS``."""

TARGETS = [2, 3, 4, 5, 6, 7]
"""What the model should say after each of ``IDS``: the word that follows."""

HAND_CONFIG = ModelConfig(
    vocab_size=8, context_length=8, d_model=4, n_layers=1, n_heads=2, d_ff=8, bias=True
)
"""GPT-2's architecture, hand-sized: each head is two numbers wide."""

# fmt: off
_TOKENS = [
    [-0.6, -1.1, -0.2, 0.3],
    [0.9, 0.1, -0.4, -0.6],
    [0.6, 1.3, 0.2, -1.0],
    [-0.8, 1.3, 0.2, -1.4],
    [-0.1, -0.9, -0.5, -0.4],
    [-0.6, 0.4, -0.1, -0.5],
    [0.3, 0.7, -1.3, -0.2],
    [-0.8, -0.1, -1.0, 0.0],
]
_POSITIONS = [
    [0.0, -0.1, -0.4, -0.2],
    [-0.4, -0.5, 0.1, -0.4],
    [0.5, 0.3, -0.8, 0.1],
    [-0.4, 0.0, 0.0, -0.8],
    [-0.1, -0.1, 0.4, -0.5],
    [0.3, -0.4, -0.1, -0.3],
    [0.6, 0.2, 1.0, 0.3],
    [0.3, 0.3, -0.2, 0.0],
]
_QKV = [
    [1.1, -0.3, 0.2, 0.0],
    [0.5, -0.3, -0.1, 0.2],
    [0.1, -0.7, 0.7, -1.0],
    [-1.0, -1.0, 0.8, -0.3],
    [-0.8, -0.9, 0.3, -0.8],
    [-1.0, 0.5, -1.0, -0.3],
    [0.0, -0.4, 0.0, 1.1],
    [-0.4, -1.0, -1.5, -0.2],
    [-0.3, 0.2, -0.4, -0.4],
    [-0.6, -0.4, 0.1, -0.3],
    [0.1, 1.5, 0.4, -1.3],
    [1.4, 0.3, -0.8, 0.7],
]
_OUT = [
    [0.0, -0.4, -0.4, -0.6],
    [0.0, 0.6, -0.2, 0.3],
    [1.1, -0.7, 0.2, -0.2],
    [-0.6, -0.6, 0.0, 0.3],
]
_UP = [
    [-0.4, 0.0, 0.5, 0.2],
    [0.6, 0.3, 0.3, 1.3],
    [0.4, 0.1, 0.5, -0.6],
    [-0.2, 0.6, 0.4, 1.1],
    [0.0, -1.0, 1.4, 0.8],
    [-0.7, 1.0, 0.0, -1.3],
    [-0.3, -0.4, 1.1, -0.6],
    [-0.2, -0.2, -0.3, -0.6],
]
_DOWN = [
    [0.1, 0.5, 0.3, -0.5, -0.6, 0.1, -0.4, -0.3],
    [-0.8, 1.0, 0.5, -0.5, 0.5, 0.7, -1.2, -0.3],
    [-0.2, 0.3, -0.1, -0.1, 0.0, 0.9, 1.1, -0.3],
    [-0.5, 1.3, -0.5, -0.3, 0.0, 0.2, 0.5, 0.2],
]
# fmt: on


def hand_model() -> tuple[Tree, ModelConfig]:
    """Return the hand-sized model: parameters in float64, nested as all models' are, and config.

    Biases are 0 and norms' weights 1, as in every model before its first step.
    """

    def linear(weight: list[list[float]]) -> Tree:
        return {"weight": np.array(weight), "bias": np.zeros(len(weight))}

    def norm() -> Tree:
        return {"weight": np.ones(4), "bias": np.zeros(4)}

    block = {
        "attention_norm": norm(),
        "attention": {"qkv_proj": linear(_QKV), "out_proj": linear(_OUT)},
        "feed_forward_norm": norm(),
        "feed_forward": {"up_proj": linear(_UP), "down_proj": linear(_DOWN)},
    }
    parameters = {
        "token_embedding": {"weight": np.array(_TOKENS)},
        "position_embedding": {"weight": np.array(_POSITIONS)},
        "blocks": [block],
        "final_norm": norm(),
    }
    return parameters, HAND_CONFIG


def story_model() -> tuple[Any, Any]:
    """Return the trained model (NumPy) and its tokenizer, from ``Tutorial/checkpoint``.

    Raises:
        ConfigError: the folder of the Tutorial is not beside the package's sources.
    """
    with warnings.catch_warnings():
        # That its numbers were rounded to float16 is meant: half as much to download.
        warnings.filterwarnings("ignore", ".* are float16; they are used", LLMExplainerWarning)
        return load_checkpoint(tutorial_folder() / "checkpoint", backend="numpy")


def tutorial_folder() -> Path:
    """Return the folder of the chapters.

    Raises:
        ConfigError: the package stands alone, without the project around it.
    """
    folder = Path(__file__).resolve().parents[3] / "Tutorial"
    if not folder.is_dir():
        raise ConfigError(
            f"no folder {folder}: the Tutorial is in the project's sources, not in the installed "
            "package; clone them, or unpack what `pip download --no-binary :all: --no-deps "
            "llm-explainer` brings, and there: uv run run_demo.py learn"
        )
    return folder
