"""What a fine-tuning run learns from: the stories' questions, or records of a file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from llm_explainer.data.records import (
    Conversation,
    EncodedRecord,
    Pair,
    Record,
    RecordCounts,
    count_records,
    encode_record,
    encode_records,
    encode_story,
    read_records,
    story_records,
    template_of,
)
from llm_explainer.data.stories.questions import split_questions, stories_to_learn_from
from llm_explainer.errors import ConfigError
from llm_explainer.program import typed
from llm_explainer.settings import setting
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate
from llm_explainer.training.runs.kinds import Report

STORIES = "stories"
N_HELD_OUT = 400
"""Questions about other stories that a run is judged by while it learns."""


@dataclass(frozen=True, kw_only=True)
class RecordsConfig:
    """What to fine-tune on."""

    data: str = setting(
        STORIES,
        "stories (questions about them), or a JSONL file: prompt and completion, messages, or text",
    )
    validation_data: str | None = setting(
        None, "a JSONL file to be judged by; without it, a share of --data is kept for that"
    )
    val_fraction: float = setting(0.1, "that share")
    stories: int = setting(10_000, "stories to ask about, where they are the data")
    long_records: Literal["cut", "refuse"] = setting(
        "cut", "a record longer than the context: cut (its end stays) or refuse"
    )
    packing: bool = setting(
        False, "put several records into a window of the context, where none sees another"
    )

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not 0 < self.val_fraction < 1:
            raise ConfigError(
                f"val_fraction is {self.val_fraction}; it takes a number above 0 and below 1"
            )
        if self.stories < 1:
            raise ConfigError(f"stories is {self.stories}; it takes 1 or more")


class RecordSplits(NamedTuple):
    """Records to learn from and records to be judged by, as tokens."""

    train: list[EncodedRecord]
    validation: list[EncodedRecord]
    counts: RecordCounts  # of those to learn from
    description: str  # in one line, for people
    template: ChatTemplate | None = None  # of conversations, where there are any


def load_records(
    config: RecordsConfig,
    tokenizer: Tokenizer,
    context_length: int,
    report: Report = lambda stage, done, total: None,
) -> RecordSplits:
    """Return what a model of this tokenizer and context is to learn from.

    Raises:
        LLMExplainerError: no such file, a record that is wrong, or one that this model cannot take.
    """
    if config.data == STORIES:
        return _load_stories(config.stories, tokenizer, context_length, report)
    records = read_records(config.data)
    others = [] if config.validation_data is None else read_records(config.validation_data)
    template = template_for([*records, *others], tokenizer)
    how = context_length, template, config.long_records
    train, counts = encode_records(records, tokenizer, *how)
    if others:
        validation, _ = encode_records(others, tokenizer, *how)
    else:
        # Every tenth, say, so that a file in some order is in both; at least one.
        period = min(max(2, round(1 / config.val_fraction)), len(train))
        validation = train[period - 1 :: period]
        train = [r for place, r in enumerate(train, 1) if place % period] or train
        kept = count_records(train)
        counts = replace(kept, cut=counts.cut, without_target=counts.without_target)
    noun = "record" if counts.records == 1 else "records"
    description = f"{counts.records:,} {noun} of {config.data}"
    return RecordSplits(train, validation, counts, description, template)


def template_for(records: Iterable[Record], tokenizer: Tokenizer) -> ChatTemplate | None:
    """Return what makes text of the conversations among some records; None where there are none.

    Raises:
        CorpusError: a template that does not suit the tokenizer.
    """
    has_turns = any(isinstance(record, Conversation) for record in records)
    return template_of(tokenizer) if has_turns else None


def _load_stories(
    n_stories: int, tokenizer: Tokenizer, context_length: int, report: Report
) -> RecordSplits:
    """Return stories with as many questions as fit, and single questions about other stories."""
    train: list[EncodedRecord] = []
    for number, questions in enumerate(stories_to_learn_from(n_stories), 1):
        record = encode_story(questions, tokenizer, context_length)
        if record is not None:
            train.append(record)
        if number % 100 == 0 or number == n_stories:
            report("encoding stories and questions", number, n_stories)
    if not train:
        raise ConfigError(
            f"no story fits a context of {context_length} tokens together with a question; take a "
            f"base with a longer one, as `{typed('full')}` trains it"
        )
    held_out = story_records(split_questions(0, N_HELD_OUT, 0).validation)
    fitting = [r for r in held_out if _fits(r, tokenizer, context_length)]
    validation, _ = encode_records(fitting, tokenizer, context_length)
    counts = count_records(train)
    return RecordSplits(train, validation, counts, f"questions about {len(train):,} stories")


def _fits(record: Pair, tokenizer: Tokenizer, context_length: int) -> bool:
    return len(encode_record(record, tokenizer).ids) <= context_length + 1
