"""Runs side by side: what each one was, what it reached, and how fast it went.

Losses are compared in bits a byte of the same validation text. Nats a token would not do: a model
of another size has another tokenizer, whose tokens are longer or shorter.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_explainer.config import SIZES, ModelConfig
from llm_explainer.errors import LLMExplainerError
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.log import read_log
from llm_explainer.training.runs.record import RunRecord


@dataclass(frozen=True)
class FinishedRun:
    """A run that reached its last step, as its folder tells it."""

    path: Path
    text: tuple[str, int | None]  # which validation text: the corpus, and how much of it was taken
    size: str  # "tiny", or "custom"
    family: str
    n_parameters: int
    train_bytes: int | None  # of text that it was trained on; None for all of it
    dtype: str
    backend: str
    steps: int
    loss: float  # nats a token, on all validation text
    bits_per_byte: float  # the same
    tokens_per_s: float  # of a typical step
    peak_memory: int  # bytes; 0 where it was not measured
    curve: list[tuple[int, float]]  # (tokens trained on, validation loss in bits a byte)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name


def find_runs(folder: Path) -> list[FinishedRun]:
    """Return the finished runs in the folders of ``folder``, the best first.

    What is no run, damaged, stopped early, or without a tokenizer (and so without bits a byte) is
    left out.
    """
    if not folder.is_dir():
        return []
    runs = [read_run(RunFolder(path)) for path in sorted(folder.iterdir()) if path.is_dir()]
    return sorted((run for run in runs if run), key=lambda run: run.bits_per_byte)


def comparable(run: FinishedRun, others: list[FinishedRun]) -> list[FinishedRun]:
    """Return those of ``others`` whose loss says something beside this run's, itself among them:
    measured on the same validation text, and of a known amount of training text."""
    return [o for o in others if o.text == run.text and o.train_bytes is not None]


def read_run(folder: RunFolder) -> FinishedRun | None:
    """Return what a run was and reached, or None where it did not finish or cannot be read."""
    try:
        record = RunRecord.from_dict(folder.read_record(), folder.record_file)
        events = read_log(folder.log_file)
        final = [e for e in events if e["event"] == "evaluation" and e["whole"]]
        if not final or final[-1]["bits_per_byte"] is None:
            return None
        return _summarize(folder.path, record, events, final[-1])
    except (LLMExplainerError, OSError, LookupError, TypeError, ValueError, ArithmeticError):
        return None


def _summarize(
    path: Path, record: RunRecord, events: list[dict[str, Any]], final: dict[str, Any]
) -> FinishedRun:
    config, data = record.model.config, record.own["data"]
    steps = [event for event in events if event["event"] == "step"]
    trained, curve = 0, []
    for event in events:
        if event["event"] == "step":
            trained += event["tokens"]
        elif event["event"] == "evaluation" and not event["whole"]:
            curve.append((trained, float(event["bits_per_byte"])))
    return FinishedRun(
        path=path,
        text=(data["corpus"], data["max_bytes"]),
        size=size_name(config),
        family=config.family or "custom",
        n_parameters=config.count_parameters(),
        train_bytes=data["train_bytes"],
        dtype=record.train.dtype,
        backend=record.backend,
        steps=final["step"],
        loss=float(final["loss"]),
        bits_per_byte=float(final["bits_per_byte"]),
        tokens_per_s=statistics.median(event["tokens"] / event["seconds"] for event in steps),
        peak_memory=max(event.get("peak_memory", 0) for event in steps),
        curve=curve,
    )


def size_name(config: ModelConfig) -> str:
    """Return the name of the size that a model has, whatever its family, context and vocabulary."""
    shape = {"d_model", "n_heads", "n_layers"}
    for name, fields in SIZES.items():
        if all(getattr(config, field) == fields[field] for field in shape):
            return name
    return "custom"
