"""Fine-tuning as a kind of run: from a trained model and records to one that answers.

Two kinds: all parameters learn, or only adapters beside them (``LoRAConfig``). What a run stands
for is its best checkpoint: few records are soon known by heart, and what comes after the best is
worse on others.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from llm_explainer.adapters import apply_lora
from llm_explainer.checkpoint import load_checkpoint
from llm_explainer.checkpoint.adapters import save_adapter
from llm_explainer.config import ModelConfig
from llm_explainer.data.records import open_records
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tokenizer import END_OF_TEXT, Tokenizer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.exact_match import Examiner, last_questions
from llm_explainer.training.finetune_data import RecordsConfig, prepare_records
from llm_explainer.training.record_batches import RecordBatches
from llm_explainer.training.runs.folder import Meaning, RunFolder
from llm_explainer.training.runs.kinds import Material, Prepared, Report
from llm_explainer.training.trainer import Save

N_EXAMINED = 64
"""Questions that are asked each time a run shows what its model can do."""


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Everything that decides a run in which all parameters learn."""

    kind: ClassVar[str] = "finetune-full"
    means: ClassVar[Meaning] = "best"

    base: str  # a checkpoint or a run
    train: TrainConfig
    data: RecordsConfig = dataclasses.field(default_factory=RecordsConfig)
    backend: str = "auto"

    def own_record(self) -> dict[str, Any]:
        """Return what ``run.json`` is to hold of these settings beside model and training."""
        return {"data": dataclasses.asdict(self.data), "base": self.base}

    def load(self) -> Callable[[RunFolder, Report], Prepared]:
        """Load the model to start from.

        What is returned puts records into a folder.

        Raises:
            LLMExplainerError: no such model, or one that has adapters.
        """
        base, tokenizer = load_checkpoint(self.base, self.backend)
        if base.lora is not None:
            raise ConfigError(
                f"{self.base} is an adapter on another model; merge it first "
                "(run_demo.py merge), and fine-tune what comes of it"
            )
        model = self._to_learn(base)

        def prepare(folder: RunFolder, report: Report) -> Prepared:
            corpus = prepare_records(
                self.data, tokenizer, model.config.context_length, folder.data_folder, report
            )
            return Prepared(corpus, tokenizer, ModelSpec.of(model), model)

        return prepare

    @classmethod
    def open(
        cls,
        folder: RunFolder,
        config: ModelConfig,
        train: TrainConfig,
        tokenizer: Tokenizer | None,
        own: dict[str, Any],
    ) -> Material:
        """Return batches of the folder's records, and questions of those for validation.

        Raises:
            LLMExplainerError: records that are missing, damaged, too few or not this model's.
        """
        if tokenizer is None or tokenizer.end_of_text is None:
            raise ConfigError(
                f"{own['base']} has no tokenizer with {END_OF_TEXT}, by which answers end; "
                "fine-tune a model that was trained with one"
            )
        learned, held_out = (open_records(folder.data_folder, s) for s in ("train", "validation"))
        batches = RecordBatches(
            learned, held_out, config.context_length, train, pad=tokenizer.end_of_text
        )
        questions = last_questions(held_out, tokenizer.end_of_text, N_EXAMINED)
        examiner = Examiner(tokenizer, questions) if questions else None
        return Material(batches, examiner, cls.saving(own))

    @staticmethod
    def saving(own: dict[str, Any]) -> Save:
        """Return how checkpoints are written: whole models."""
        return save_checkpoint

    def _to_learn(self, base: Any) -> Any:
        return base.unfreeze()


@dataclass(frozen=True, kw_only=True)
class LoRASettings(FinetuneSettings):
    """Everything that decides a run in which only adapters learn."""

    kind: ClassVar[str] = "finetune-lora"

    lora: LoRAConfig = dataclasses.field(default_factory=LoRAConfig)

    def own_record(self) -> dict[str, Any]:
        """Return what ``run.json`` is to hold of these settings beside model and training."""
        return {**super().own_record(), "lora": self.lora.to_dict()}

    @staticmethod
    def saving(own: dict[str, Any]) -> Save:
        """Return how checkpoints are written: the adapters alone, and where their base is."""
        return partial(save_adapter, base=own["base"])

    def _to_learn(self, base: Any) -> Any:
        return apply_lora(base, self.lora, self.train.seed)
