"""What a model shows now and then while it learns, for people to look at."""

from __future__ import annotations

from typing import Any, Protocol

from llm_explainer.generation import generate
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.training.batches import Batches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.events import Event, Sampled

SAMPLE_TOKENS = 120


class Demonstration(Protocol):
    """Lets the model do something that can be looked at."""

    def __call__(self, model: Any, step: int) -> Event:
        """Return what ``model`` did after ``step`` updates."""


class Continuation:
    """Lets the model continue a text.

    Args:
        tokenizer: the model's
        batches: where it starts if there is no prompt, nor a token that begins a document
        config: the prompt, and the seed that the text is drawn with

    Raises:
        TokenizerError: a prompt that the tokenizer cannot encode.
    """

    def __init__(self, tokenizer: Tokenizer, batches: Batches, config: TrainConfig) -> None:
        self._tokenizer, self._config = tokenizer, config
        if config.sample_prompt:
            self._start = tokenizer.encode(config.sample_prompt)
        elif tokenizer.roles.begin is not None:
            self._start = [tokenizer.roles.begin]
        else:
            self._start = [int(batches.training(0).tokens[0, 0])]  # some token of the text

    def __call__(self, model: Any, step: int) -> Sampled:
        """Return the prompt and what the model wrote after it."""
        pieces = generate(
            model,
            self._tokenizer,
            self._start,
            max_tokens=SAMPLE_TOKENS,
            seed=self._config.seed,
            windowed=True,
        )
        return Sampled(step, self._config.sample_prompt + "".join(pieces))
