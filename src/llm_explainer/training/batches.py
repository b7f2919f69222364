"""Where a trainer's batches come from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from llm_explainer.batch import Batch
from llm_explainer.data.token_files import Tokens
from llm_explainer.data.windows import (
    document_starts,
    epoch_windows,
    evaluation_windows,
    random_windows,
)
from llm_explainer.errors import ConfigError
from llm_explainer.training.config import TrainConfig


class Batches(Protocol):
    """Batches as pure functions of their number, so that a resumed run sees the same ones."""

    def training(self, index: int) -> Batch:
        """Return batch ``index``, counted from 0 over the whole run; a step may take several."""

    def validation(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield all validation batches, or a fixed sample of ``max_windows`` windows."""


class WindowBatches:
    """Windows of token files, for pre-training.

    Args:
        train: (n,) ids
        validation: (m,) ids
        context_length: tokens of a window
        config: batch size, seed, and where windows begin
        end_of_text: id between documents, needed for windows that begin with a document

    Raises:
        ConfigError: windows at documents without an ``end_of_text``.
        CorpusError: fewer tokens than a window takes, or no documents among them.
    """

    def __init__(
        self,
        train: Tokens,
        validation: Tokens,
        context_length: int,
        config: TrainConfig,
        end_of_text: int | None = None,
    ) -> None:
        self._tokens, self._validation_tokens = train, validation
        self._context_length, self._config = context_length, config
        self._starts = self._validation_starts = None
        if config.windows == "documents":
            if end_of_text is None:
                raise ConfigError(
                    "windows is 'documents', but there is no token that ends a text to tell where "
                    "documents begin; use windows 'random'"
                )
            self._starts = document_starts(train, end_of_text, context_length)
            self._validation_starts = document_starts(validation, end_of_text, context_length)
        # Too little text is found here, not at the first evaluation.
        self.training(0)
        next(self.validation(1))

    def training(self, index: int) -> Batch:
        """Return batch ``index``: (B, T), (B, T), no mask."""
        if self._config.windows == "epochs":
            size, length, seed = self._config.batch_size, self._context_length, self._config.seed
            return Batch(*epoch_windows(self._tokens, size, length, length, seed, index))
        inputs, targets = random_windows(
            self._tokens,
            self._config.batch_size,
            self._context_length,
            self._config.seed,
            index,
            starts=self._starts,
        )
        return Batch(inputs, targets)

    def validation(self, max_windows: int | None = None) -> Iterator[Batch]:
        """Yield validation windows, as many at a time as there is known to be memory for."""
        windows = evaluation_windows(
            self._validation_tokens,
            self._config.batch_size,
            self._context_length,
            max_windows=max_windows,
            starts=self._validation_starts,
        )
        for inputs, targets in windows:
            yield Batch(inputs, targets)
