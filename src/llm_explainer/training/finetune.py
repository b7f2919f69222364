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
from llm_explainer.checkpoint import (
    base_of,
    load_config,
    load_model,
    load_tokenizer_of,
    save_checkpoint,
)
from llm_explainer.checkpoint.adapters import keep_base, save_adapter
from llm_explainer.checkpoint.reading import reading
from llm_explainer.config import ModelConfig
from llm_explainer.data.records import (
    Records,
    open_records,
    own_template,
    record_files,
    write_records,
)
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.model_spec import ModelSpec
from llm_explainer.program import typed
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tokenizer.chat_template import WORD_FOR_WORD
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.exact_match import Examiner, last_questions
from llm_explainer.training.finetune_data import (
    STORIES,
    RecordsConfig,
    RecordSplits,
    load_records,
)
from llm_explainer.training.packing import pack
from llm_explainer.training.recipes import finetuning_recipe
from llm_explainer.training.record_batches import RecordBatches, longest_row
from llm_explainer.training.runs.folder import Meaning, RunFolder
from llm_explainer.training.runs.kinds import Material, Prepared, Report
from llm_explainer.training.trainer import Save

N_EXAMINED = 64
"""Questions that are asked each time a run shows what its model can do."""


@dataclass(frozen=True)
class Start:
    """What fine-tuning starts from: a model, and records as its tokens."""

    base: str  # the directory of its checkpoint; a run may mean another one tomorrow
    config: ModelConfig
    tokenizer: Tokenizer
    records: RecordSplits
    packing: bool = False  # whether a row of a batch is a window full of records

    def count_rows(self) -> int:
        """Return the rows of an epoch."""
        lengths = Records.of(self.records.train).lengths - 1  # n tokens are n - 1 inputs
        return len(pack(lengths, self.config.context_length)) if self.packing else len(lengths)


def open_start(
    base: str | Path, data: RecordsConfig, report: Report = lambda stage, done, total: None
) -> Start:
    """Read what the base's tokenizer makes of the records; of its weights nothing is read.

    Raises:
        LLMExplainerError: a base or records that cannot be used, or not together.
    """
    with reading(base) as directory:
        found = str(directory.resolve())
    config = load_config(found)
    tokenizer = load_tokenizer_of(found, config)
    if tokenizer is None or tokenizer.end_of_text is None:
        raise ConfigError(
            f"{base} has no tokenizer with a token that ends a text, by which answers end; "
            "fine-tune a model that was trained with one"
        )
    if data.data == STORIES and tokenizer.chat_template is None:
        tokenizer.chat_template = own_template(tokenizer, WORD_FOR_WORD)
    records = load_records(data, tokenizer, config.context_length, report)
    if records.template is not None:
        tokenizer.chat_template = records.template  # the model that comes of it speaks so
    return Start(found, config, tokenizer, records, data.packing)


def finetune_settings(
    start: Start,
    lora: LoRAConfig | None = None,
    *,
    epochs: float | None = None,
    backend: str = "auto",
    **typed: Any,
) -> FinetuneSettings:
    """Return the settings of a run: by the recipe, but for what is ``typed`` of ``TrainConfig``.

    With ``lora`` only adapters learn.

    Raises:
        ConfigError: a setting that cannot work.
    """
    is_lora = lora is not None
    n_rows = start.count_rows()
    train = finetuning_recipe(start.config, n_rows, lora=is_lora, epochs=epochs, **typed)
    if lora is None:
        return FinetuneSettings(start=start, train=train, backend=backend)
    lora.rows(start.config)  # a target that the base lacks is found now
    return LoRASettings(start=start, train=train, backend=backend, lora=lora)


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """Everything that decides a run in which all parameters learn."""

    kind: ClassVar[str] = "finetune-full"
    means: ClassVar[Meaning] = "best"
    data_files: ClassVar[tuple[str, ...]] = (*record_files("train"), *record_files("validation"))

    start: Start
    train: TrainConfig
    backend: str = "auto"

    def own_record(self) -> dict[str, Any]:
        """Return what ``run.json`` is to hold of these settings beside model and training."""
        return {"base": self.start.base, "packing": self.start.packing}

    def load(self) -> Callable[[RunFolder, Report], Prepared]:
        """Load the model to start from.

        What is returned puts records into a folder.

        Raises:
            LLMExplainerError: no such model, or one that has adapters.
        """
        base = load_model(self.start.base, self.backend)
        if base.lora is not None:
            raise ConfigError(
                f"{self.start.base} is an adapter on another model; merge it first "
                f"({typed('merge')}), and fine-tune what comes of it"
            )
        model = self._to_learn(base)

        def prepare(folder: RunFolder, report: Report) -> Prepared:
            records = self.start.records
            write_records(folder.data_folder, "train", records.train)
            write_records(folder.data_folder, "validation", records.validation)
            spec = ModelSpec.of(model)
            longest = longest_row(Records.of(records.train), self.start.packing)
            return Prepared(records.description, self.start.tokenizer, spec, model, longest)

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
        assert tokenizer is not None  # as ``open_start`` has seen to
        assert tokenizer.end_of_text is not None
        learned, held_out = (open_records(folder.data_folder, s) for s in ("train", "validation"))
        batches = RecordBatches(
            learned,
            held_out,
            config.context_length,
            train,
            pad=tokenizer.end_of_text,
            packing=own["packing"],
        )
        questions = last_questions(held_out, tokenizer.roles.ends, N_EXAMINED)
        examiner = Examiner(tokenizer, questions) if questions else None
        longest = longest_row(learned, own["packing"])
        more = "and the answers to questions on the way" if questions else ""
        return Material(batches, examiner, cls.saving(folder, own), longest, more)

    @staticmethod
    def saving(folder: RunFolder, own: dict[str, Any]) -> Save:
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

    def load(self) -> Callable[[RunFolder, Report], Prepared]:
        """Load the base and put adapters on it.

        Raises:
            LLMExplainerError: no such base, or one that has adapters; from what is returned, that
                the run is to take the place of its base.
        """
        prepare = super().load()

        def prepare_beside(folder: RunFolder, report: Report) -> Prepared:
            base = Path(self.start.base)
            if base.is_relative_to(folder.path.resolve()):
                raise ConfigError(
                    f"{folder.path} holds the base, which adapters are nothing without; choose "
                    "another --out"
                )
            prepared = prepare(folder, report)
            keep_base(base, folder.path)
            return prepared

        return prepare_beside

    @staticmethod
    def saving(folder: RunFolder, own: dict[str, Any]) -> Save:
        """Return how checkpoints are written: the adapters alone, and where their base is.

        A run that goes on has found its base, wherever it and the run have been moved.
        """
        base = base_of(folder.newest()) if folder.steps() else own["base"]
        return partial(save_adapter, base=base)

    def _to_learn(self, base: Any) -> Any:
        return apply_lora(base, self.lora, self.train.seed)
