"""How good a model is on text it has not seen: loss, perplexity, bits per byte."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from llm_explainer.batch import Batch
from llm_explainer.tokenizer.base import Tokenizer


@dataclass(frozen=True)
class Evaluation:
    """Averages over validation text."""

    loss: float  # nats a token
    bits_per_byte: float | None

    @property
    def perplexity(self) -> float:
        """The number of equally likely tokens that would be as surprising: exp(loss)."""
        return math.exp(min(self.loss, 700.0))


def evaluate(
    summed_loss: Callable[[Batch], tuple[float, float]],
    batches: Iterable[Batch],
    token_bytes: NDArray[np.int64] | None,
) -> Evaluation:
    """Average over the targets of all batches.

    Args:
        summed_loss: returns a batch's loss, summed over the targets that count, and their number
        batches: of validation text
        token_bytes: (V,) bytes that each id stands for; None leaves out the bits per byte
    """
    loss = n_targets = n_bytes = 0.0
    for batch in batches:
        batch_loss, batch_targets = summed_loss(batch)
        loss += batch_loss
        n_targets += batch_targets
        if token_bytes is not None:
            _, targets, mask, _ = batch
            counted = targets if mask is None else targets[mask > 0]
            n_bytes += float(token_bytes[counted].sum())
    bits_per_byte = loss / math.log(2) / n_bytes if n_bytes else None
    return Evaluation(loss / n_targets, bits_per_byte)


def token_byte_lengths(tokenizer: Tokenizer, vocab_size: int) -> NDArray[np.int64]:
    """Return how many bytes of UTF-8 each id stands for, (V,); special tokens stand for none."""
    lengths = np.zeros(vocab_size, np.int64)
    for token_id, token in tokenizer.vocab.items():
        lengths[token_id] = len(token if isinstance(token, bytes) else token.encode())
    for token_id in tokenizer.special_tokens.values():
        lengths[token_id] = 0
    return lengths
