"""A model that texts are asked of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from llm_explainer.backend import backend_of
from llm_explainer.generation.prompts import check_prompt, fit_context
from llm_explainer.tokenizer.base import Tokenizer


@dataclass(frozen=True)
class Served:
    """A model with its name and its tokenizer.

    Attributes:
        model: a ``GPT`` of any backend.
        tokenizer: the one that it was trained with.
    """

    name: str
    model: Any
    tokenizer: Tokenizer

    @cached_property
    def vocab_size(self) -> int:
        """How many ids both know: a model's table may be padded to a round size."""
        return int(min(self.model.config.vocab_size, self.tokenizer.vocab_size))

    @cached_property
    def context_length(self) -> int:
        """The most tokens that the model reads."""
        return int(self.model.config.context_length)

    @cached_property
    def ends(self) -> frozenset[int]:
        """The ids that end a text."""
        return frozenset(self.tokenizer.roles.ends)

    @cached_property
    def backend(self) -> Any:
        """The model's backend, a module."""
        return backend_of(self.model)

    def prepare(self) -> None:
        """Compute what a lazy backend has put off: only the thread that asked for it can."""
        np.asarray(self.model.next_logits(np.zeros((1, 1), np.int64)))

    def check(self, prompt_ids: Sequence[int]) -> None:
        """Refuse what the model cannot read.

        Raises:
            GenerationError: an id that it does not know, or more of them than its context.
        """
        fit_context(check_prompt(prompt_ids, self.vocab_size), self.context_length, windowed=False)
