"""The kinds of runs, and what each has of its own: settings, and data in the run's folder.

``run.py`` starts and resumes runs of every kind. A further kind is a file with a class of settings,
as ``pretrain.py`` is one, and a line in the table at the end.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from llm_explainer.checkpoint import save_checkpoint
from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.training.batches import Batches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.demonstration import Demonstration
from llm_explainer.training.runs.folder import Meaning, RunFolder
from llm_explainer.training.trainer import Save

Report = Callable[[str, int, int | None], None]
"""Called with a stage's name, what is done and what there is in all (None where not known)."""


@dataclass(frozen=True)
class Prepared:
    """What a kind of run has put into a folder, and what is to be trained on it."""

    corpus: str  # in one line, for people
    tokenizer: Tokenizer | None  # None where only ids are known
    spec: ModelSpec
    model: Any | None = None  # with the weights to start from; None for fresh ones
    longest: int | None = None  # tokens of the longest row; None where rows are as the context


@dataclass(frozen=True)
class Material:
    """What a trainer of one kind of run works with."""

    batches: Batches
    demonstration: Demonstration | None = None  # what the model shows now and then
    save: Save = save_checkpoint  # how a checkpoint is written
    longest: int | None = None  # tokens of the longest row; None where rows are as the context
    more: str = ""  # what the preflight does not time, in words


class RunSettings(Protocol):
    """Everything that decides a new run of one kind."""

    kind: ClassVar[str]
    means: ClassVar[Meaning]

    data_files: ClassVar[tuple[str, ...]]
    """Names of all that the run may write into its folder's ``data/``: where it is killed while it
    prepares, the next one there removes these and no others."""

    @property
    def backend(self) -> str:
        """A name for ``load_backend``."""

    @property
    def train(self) -> TrainConfig:
        """How to train."""

    def own_record(self) -> dict[str, Any]:
        """Return what ``run.json`` is to hold of this kind's settings: plain JSON values."""

    def load(self) -> Callable[[RunFolder, Report], Prepared]:
        """Check the settings and load what the run starts from; nothing is written yet.

        What is returned puts the data into a run folder.
        """

    @staticmethod
    def open(
        folder: RunFolder,
        config: ModelConfig,
        train: TrainConfig,
        tokenizer: Tokenizer | None,
        own: dict[str, Any],
    ) -> Material:
        """Return what to train with: the data that a folder was prepared with, and more.

        ``own`` is what ``own_record`` returned when the run began.
        """


def settings_of_kind(name: object, source: object) -> type[RunSettings]:
    """Return the class of settings of a kind of run, imported now.

    Raises:
        CheckpointError: no such kind; ``source`` is where the name came from.
    """
    if not isinstance(name, str) or name not in _HOMES:
        raise CheckpointError(
            f"{source}: kind is {name!r}; this version knows runs of kind {', '.join(_HOMES)}"
        )
    module, settings = _HOMES[name]
    found: type[RunSettings] = getattr(importlib.import_module(module), settings)
    return found


_HOMES = {
    "pretrain": ("llm_explainer.training.pretrain", "PretrainSettings"),
    "finetune-full": ("llm_explainer.training.finetune", "FinetuneSettings"),
    "finetune-lora": ("llm_explainer.training.finetune", "LoRASettings"),
}
