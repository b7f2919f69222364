"""A base model and what fine-tuning made of it, side by side: what each can do, and its price."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llm_explainer.checkpoint import load_checkpoint
from llm_explainer.data.stories.questions import StoryQuestion, examination
from llm_explainer.data.token_files import open_tokens
from llm_explainer.training.exact_match import (
    Answer,
    ask_model,
    encode_question,
    share_ended,
    share_right,
    share_right_by_kind,
)
from llm_explainer.training.pretrain import validation_file
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.kinds import Report
from llm_explainer.training.runs.outcome import Outcome, read_outcome
from llm_explainer.training.text_loss import tokens_loss

INVENTING = "inventing questions"
OLD_TASK_WINDOWS = 256


@dataclass(frozen=True)
class ModelResult:
    """One model: what it answered, what it has kept of its pre-training, what it took."""

    name: str
    answers: list[Answer]
    old_loss: float  # nats a token, on the validation text of the pre-training
    outcome: Outcome


@dataclass(frozen=True)
class SideBySide:
    """Several models that were asked the same questions."""

    questions: list[StoryQuestion]
    baseline: dict[str, float]  # by kind: what the commonest answer to a question gets
    models: list[ModelResult]


def examine(
    runs: Sequence[tuple[str, Path]],
    n_questions: int,
    backend: str = "auto",
    report: Report = lambda stage, done, total: None,
) -> SideBySide:
    """Ask the models of some runs the same questions, about stories that none has read.

    Args:
        runs: names and folders, the pre-training's first
        n_questions: as many of each kind
        backend: as for ``load_backend``
        report: called with a stage, and how much of it is done

    Raises:
        LLMExplainerError: a run that is missing or damaged.
    """
    report(INVENTING, 0, None)
    asked, baseline = examination(n_questions)
    report(INVENTING, 1, 1)
    old_text = open_tokens(validation_file(RunFolder(runs[0][1])))
    models = []
    for name, path in runs:
        model, tokenizer = load_checkpoint(path, backend)
        encoded = [encode_question(question, tokenizer) for question in asked]
        asking = partial(report, f"asking the {name} model")
        answers = ask_model(model, tokenizer, encoded, asking)
        old = tokens_loss(model, old_text, tokenizer, OLD_TASK_WINDOWS)
        models.append(ModelResult(name, answers, old.loss, read_outcome(RunFolder(path))))
    return SideBySide(asked, baseline, models)


def to_dict(results: SideBySide) -> dict[str, Any]:
    """Return the figures as plain JSON values."""
    return {
        "questions": len(results.questions),
        "without_the_story": results.baseline,
        "models": {
            model.name: {
                "right": share_right(model.answers),
                "right_by_kind": share_right_by_kind(model.answers),
                "ended": share_ended(model.answers),
                "old_task_loss": model.old_loss,
                "parameters": model.outcome.n_parameters,
                "parameters_that_learn": model.outcome.n_trained,
                "seconds": model.outcome.seconds,
                "peak_memory_bytes": model.outcome.peak_memory,
                "bytes_on_disk": model.outcome.size_bytes,
            }
            for model in results.models
        },
    }
