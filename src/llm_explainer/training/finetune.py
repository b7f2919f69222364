"""Fine-tuning as a kind of run: from a trained model and records to one that answers.

Two kinds: all parameters learn, or only adapters beside them (``LoRAConfig``). What a run stands
for is its best checkpoint: a small set of records is soon learned by heart, and what comes after
the best is worse.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from llm_explainer.adapters import apply_lora
from llm_explainer.checkpoint import load_checkpoint
from llm_explainer.checkpoint.adapters import base_of, is_adapter, save_adapter
from llm_explainer.config import ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.model_spec import ModelSpec
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.exact_match import Examination, questions_of
from llm_explainer.training.record_batches import RecordBatches
from llm_explainer.training.records import RecordsConfig, open_records_of, prepare_records
from llm_explainer.training.runs.folder import Meaning, RunFolder
from llm_explainer.training.runs.kinds import Material, Prepared, Report

N_EXAMINED = 64
"""Questions that are asked each time a run shows what its model can do."""
