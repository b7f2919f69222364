"""What a trace explains: the number that gradients, attribution and ablation are about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from llm_explainer.errors import GenerationError
from llm_explainer.plain.contract import Array

Kind = Literal["loss", "logit", "log_probability"]


@dataclass(frozen=True)
class Target:
    """The mean loss of a text, or what the model gives one token as the next at one position.

    >>> Target.logit(-1, 7)
    Target(kind='logit', position=-1, token=7)
    """

    kind: Kind
    position: int = -1  # after which the token would come; -1: after the last one
    token: int = -1  # an id; unused by the loss

    @classmethod
    def loss(cls) -> Self:
        """The mean over positions of -log p(the token that came next), in nats."""
        return cls("loss")

    @classmethod
    def logit(cls, position: int, token: int) -> Self:
        """The score of a token before softmax; what attribution splits up."""
        return cls("logit", position, token)

    @classmethod
    def log_probability(cls, position: int, token: int) -> Self:
        """log p(token) after a position: its score beside those of all others."""
        return cls("log_probability", position, token)

    def checked(self, n_tokens: int, vocab_size: int) -> Self:
        """Return the target with its position counted from the first token.

        Raises:
            GenerationError: a position or token that the text or the model lacks; a text of one
                token, which has no loss.
        """
        if self.kind == "loss":
            if n_tokens < 2:
                raise GenerationError(
                    "a text of one token has no next one, so no loss; make it longer, or choose a "
                    "token to explain"
                )
            return self
        position = place_of(self.position, n_tokens)
        if not 0 <= self.token < vocab_size:
            raise GenerationError(
                f"the token to explain is {self.token}; this model knows 0 to {vocab_size - 1}"
            )
        return type(self)(self.kind, position, self.token)

    @property
    def rows(self) -> slice:
        """The positions whose logits matter."""
        here = slice(self.position, self.position + 1 or None)
        return slice(0, -1) if self.kind == "loss" else here

    def values(self, logits: Array, ids: Array) -> Array:
        """Return the target for each of B passes.

        Args:
            logits: (B, R, V), those at ``rows``.
            ids: of the text, (T,).
        """
        if self.kind == "loss":
            scores = log_softmax(logits)  # (B, T-1, V)
            losses: Array = -np.take_along_axis(scores, ids[None, 1:, None], -1)[..., 0].mean(-1)
            return losses
        here = logits[:, 0]  # (B, V)
        scores = here if self.kind == "logit" else log_softmax(here)
        values: Array = scores[:, self.token]
        return values

    def gradient(self, logits: Array, ids: Array) -> Array:
        """Return the target's gradient by the logits (T, V) of a pass, where backward begins."""
        dlogits = np.zeros_like(logits)
        if self.kind == "loss":
            n_targets = len(ids) - 1
            dlogits[:-1] = np.exp(log_softmax(logits[:-1]))
            dlogits[np.arange(n_targets), ids[1:]] -= 1  # probability - 1 for the token that came
            dlogits /= n_targets
            return dlogits
        if self.kind == "log_probability":
            dlogits[self.position] = -np.exp(log_softmax(logits[self.position]))
        dlogits[self.position, self.token] += 1
        return dlogits


def place_of(position: int, n_tokens: int) -> int:
    """Return a position of a text, which may be counted from its end, as counted from its start.

    Raises:
        GenerationError: the text lacks it.
    """
    if not -n_tokens <= position < n_tokens:
        raise GenerationError(f"the position is {position}; this text has 0 to {n_tokens - 1}")
    return position % n_tokens


def log_softmax(logits: Array) -> Array:
    """log p of every token: logits (..., V) -> (..., V)."""
    shifted = logits - logits.max(-1, keepdims=True)  # exp cannot overflow
    log_p: Array = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return log_p
