"""What a finished run took: seconds, memory, parameters that learned, bytes on disk."""

from __future__ import annotations

from dataclasses import dataclass

from llm_explainer.errors import CheckpointError
from llm_explainer.run_folders import meant_checkpoint
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.log import read_log
from llm_explainer.training.runs.record import RunRecord

FOR_TRAINING = ("trainer_state.json", "optimizer.safetensors")
"""Files of a checkpoint that only going on with its training needs."""


@dataclass(frozen=True)
class Outcome:
    """What a run took, and what it left."""

    n_trained: int  # parameters that learned
    n_parameters: int  # all of them
    seconds: float  # in steps, without evaluations
    peak_memory: int  # bytes; 0 where it was not measured
    size_bytes: int  # of what the model needs on disk


def is_finished(folder: RunFolder) -> bool:
    """Return whether a run trained to its end, its checkpoint saved."""
    steps = folder.steps()
    events = read_log(folder.log_file)
    ends = [event["step"] for event in events if event["event"] == "evaluation" and event["whole"]]
    return bool(steps) and steps[-1] in ends


def read_outcome(folder: RunFolder) -> Outcome:
    """Return what a run took.

    Raises:
        CheckpointError: no run, or one that has no checkpoint.
    """
    record = RunRecord.from_dict(folder.read_record(), folder.record_file)
    checkpoint = meant_checkpoint(folder.path)
    if checkpoint is None:
        raise CheckpointError(f"{folder.path} has no checkpoint yet; continue it with --resume")
    steps = [event for event in read_log(folder.log_file) if event["event"] == "step"]
    return Outcome(
        n_trained=record.model.count_trainable(),
        n_parameters=record.model.count_parameters(),
        seconds=sum(event["seconds"] for event in steps),
        peak_memory=max((event.get("peak_memory", 0) for event in steps), default=0),
        size_bytes=sum(
            file.stat().st_size for file in checkpoint.iterdir() if file.name not in FOR_TRAINING
        ),
    )
