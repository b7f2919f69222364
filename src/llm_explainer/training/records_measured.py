"""How good a model is on the records of a file: loss on the answers, and exact match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_explainer.data.records import Records, encode_records, read_records
from llm_explainer.data.records.templates import end_token
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.evaluation import Evaluation
from llm_explainer.training.exact_match import Answer, ask_model, last_questions
from llm_explainer.training.finetune_data import template_for
from llm_explainer.training.record_batches import RecordBatches
from llm_explainer.training.text_loss import BATCH_SIZE, model_loss


@dataclass(frozen=True)
class RecordsMeasured:
    """What a model is worth on some records."""

    n_records: int
    evaluation: Evaluation  # averages over the trained tokens
    answers: list[Answer]  # to the last question of each record that has one


def measure_records(
    model: Any,
    tokenizer: Tokenizer,
    file: str | Path,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> RecordsMeasured:
    """Measure a model on the records of a JSONL file, those too long cut as for training.

    ``report`` is told how many questions are answered, of how many.

    Raises:
        LLMExplainerError: no such file, a record that is wrong, or one that this model cannot take.
    """
    end, context_length = end_token(tokenizer), model.config.context_length
    records = read_records(file)
    template = template_for(records, tokenizer)
    encoded, counts = encode_records(records, tokenizer, context_length, template)
    flat = Records.of(encoded)
    config = TrainConfig(batch_size=min(BATCH_SIZE, len(flat)))
    batches = RecordBatches(flat, flat, context_length, config, pad=end)
    evaluation = model_loss(model, batches.validation(), tokenizer)
    answers = ask_model(
        model, tokenizer, last_questions(encoded, tokenizer.roles.ends, len(encoded)), report
    )
    return RecordsMeasured(counts.records, evaluation, answers)
