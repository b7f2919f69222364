"""Generation: the likeliest next token, again and again.

Explained in ``Tutorial/09 - TextGeneration.md``.
"""

from collections.abc import Sequence

import numpy as np

from llm_explainer.config import ModelConfig
from llm_explainer.plain.model import gpt
from llm_explainer.tree import Tree


def generate(ids: Sequence[int], parameters: Tree, config: ModelConfig, n_new: int) -> list[int]:
    """The ids and ``n_new`` more, each the likeliest after all before (Graves 2013, section 1).

    Every step computes the whole text anew; a backend keeps keys and values in a cache instead.

    Raises:
        ConfigError: the text outgrows the context.

    >>> from llm_explainer import load_backend
    >>> config = ModelConfig(vocab_size=4, context_length=4, d_model=4, n_layers=1, n_heads=1)
    >>> p = load_backend("numpy").GPT(config, init_scheme="zeros").parameters()
    >>> p["token_embedding"]["weight"] = np.eye(4)  # a tied head: what is likeliest is the token
    >>> p["position_embedding"]["weight"] = 2 * np.eye(4)  # unless its place weighs more
    >>> generate([3], p, config, n_new=4)
    [3, 0, 1, 2, 3]
    """
    text = list(ids)
    for _ in range(n_new):
        logits, _ = gpt(np.array([text]), parameters, config)  # (1, T, V)
        text.append(int(logits[0, -1].argmax()))
    return text
