"""What a fine-tuning run learns from: the stories' questions, or records of a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from llm_explainer.data.records import (
    EncodedRecord,
    encode_records,
    story_records,
    write_records,
)
from llm_explainer.data.records.stories import encode_story
from llm_explainer.data.stories.questions import split_questions, stories_to_learn_from
from llm_explainer.errors import ConfigError, CorpusError
from llm_explainer.settings import setting
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.training.runs.kinds import Report

STORIES = "stories"
N_HELD_OUT = 400


@dataclass(frozen=True, kw_only=True)
class RecordsConfig:
    """What to fine-tune on."""

    data: str = setting(
        STORIES,
        "stories (questions about them), or a JSONL file of prompt and completion, messages or text",
    )
    validation_data: str | None = setting(
        None, "a JSONL file to be judged by; without it, a share of --data is kept for that"
    )
    val_fraction: float = setting(0.1, "that share")
    stories: int = setting(10_000, "stories to ask about, where they are the data")
    long_records: Literal["cut", "refuse"] = setting(
        "cut", "a record longer than the context: cut (its end stays) or refuse"
    )
