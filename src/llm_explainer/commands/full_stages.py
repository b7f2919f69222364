"""The runs that full makes: what each is called, and its settings."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_explainer.commands.quick import quick_settings
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.files import write_atomically
from llm_explainer.spelling import command_line
from llm_explainer.training.runs.names import RUNS, make_free_folder

if TYPE_CHECKING:
    from llm_explainer.lora_config import LoRAConfig
    from llm_explainer.training.finetune import FinetuneSettings
    from llm_explainer.training.pretrain import PretrainSettings

BASE, TUNED, LORA = "pretrained", "finetuned", "lora"
PLAN = "full.json"
PRETRAIN_STEPS, FINETUNE_STEPS = 8000, 2500
RANK, ALPHA = 2, 4.0


@dataclass(frozen=True)
class Plan:
    """What was asked for when it began."""

    steps: int  # of pre-training
    finetune_steps: int
    questions: int
    seed: int
    backend: str

    def __post_init__(self) -> None:
        """Check the numbers now, not after the first stage."""
        for name in ("steps", "finetune_steps", "questions"):
            if getattr(self, name) < 1:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag} is {getattr(self, name)}; it takes 1 or more")


def begin(out: Path | None, plan: Plan) -> Path:
    """Make the folder, a new one by default, and note the plan in it.

    Raises:
        CheckpointError: it holds something already, or cannot be made.
    """
    folder = out or make_free_folder(RUNS, "full")
    if (folder / PLAN).exists():
        again = command_line("--resume", folder)
        raise CheckpointError(f"{folder} was begun before; go on with {again}, or choose another")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = json.dumps(dataclasses.asdict(plan), indent=2) + "\n"
        write_atomically(folder / PLAN, content.encode())
    except OSError as error:
        raise CheckpointError(
            f"cannot write {folder}: {error.strerror}; choose a folder that is writable"
        ) from error
    return folder


def read_plan(folder: Path) -> Plan:
    """Return what ``begin`` noted.

    Raises:
        CheckpointError: nothing was begun there, or the note is damaged.
    """
    from llm_explainer.checkpoint.json_objects import read_object

    if not (folder / PLAN).is_file():
        raise CheckpointError(f"{folder} has no {PLAN} to go on with; begin with --out")
    try:
        return Plan(**read_object(folder / PLAN))
    except (TypeError, ConfigError, OSError) as error:
        raise CheckpointError(f"{folder / PLAN} is damaged: {error}") from error


def pretrain_settings(plan: Plan) -> PretrainSettings:
    """Return how the model is pre-trained: as ``quick`` does it, with room for a question."""
    from llm_explainer.data.stories.questions import STORY_CONTEXT

    quick = quick_settings(plan.steps, plan.seed, plan.backend)
    return dataclasses.replace(quick, model={**quick.model, "context_length": STORY_CONTEXT})


def tuning_settings(base: Path, plan: Plan, lora: LoRAConfig | None = None) -> FinetuneSettings:
    """Return how the model is fine-tuned: all of its parameters, or adapters."""
    from llm_explainer.training.finetune import finetune_settings, open_start
    from llm_explainer.training.finetune_data import RecordsConfig
    from llm_explainer.training.recipes import FINETUNING_BATCH

    n_stories = plan.finetune_steps * FINETUNING_BATCH  # each comes once
    start = open_start(base, RecordsConfig(stories=n_stories))
    return finetune_settings(
        start, lora, backend=plan.backend, steps=plan.finetune_steps, seed=plan.seed
    )
