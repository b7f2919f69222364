"""The loss of a model on any text."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from llm_explainer.batch import Batch
from llm_explainer.data.corpora import NAMES, load_corpus
from llm_explainer.data.token_files import Tokens, open_tokens, write_tokens
from llm_explainer.data.windows import evaluation_windows
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.training.evaluation import Evaluation, evaluate, token_byte_lengths

BATCH_SIZE = 8  # windows


def model_loss(model: Any, batches: Iterable[Batch], tokenizer: Tokenizer | None) -> Evaluation:
    """Average a model's loss over the targets that count."""

    def summed(batch: Batch) -> tuple[float, float]:
        loss = model.loss(batch.tokens, batch.targets, batch.mask, n_counted=1.0)
        return float(loss), batch.n_counted

    n_bytes = token_byte_lengths(tokenizer, model.config.vocab_size) if tokenizer else None
    return evaluate(summed, batches, n_bytes)


def tokens_loss(
    model: Any, tokens: Tokens, tokenizer: Tokenizer | None, max_windows: int | None = None
) -> Evaluation:
    """Measure a model on ids (n,), in windows of its context that stand end to end.

    ``max_windows`` takes a fixed sample of them.

    Raises:
        CorpusError: fewer than 2 ids.
    """
    windows = evaluation_windows(
        tokens, BATCH_SIZE, model.config.context_length, max_windows=max_windows
    )
    return model_loss(model, (Batch(*window) for window in windows), tokenizer)


def text_loss(model: Any, tokenizer: Tokenizer, corpus: str) -> Evaluation:
    """Measure a model on a text: all of a file, folder or pipe; the validation text of a corpus
    that has a name.

    Raises:
        LLMExplainerError: no such text, or one that the tokenizer cannot encode.
    """
    found = load_corpus(corpus)
    text = found.whole if corpus not in NAMES and found.whole else found.validation
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.npy"
        write_tokens(path, text, tokenizer)
        return tokens_loss(model, open_tokens(path), tokenizer)
