"""A run's history as JSON lines: one event a line, ready for any tool."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from llm_explainer.files import write_atomically
from llm_explainer.training.events import (
    Answered,
    Evaluated,
    Event,
    Sampled,
    Saved,
    Saving,
    StepDone,
)

NAMES = {
    StepDone: "step",
    Evaluated: "evaluation",
    Sampled: "sample",
    Answered: "answers",
    Saved: "checkpoint",
}


class RunLog:
    """Appends the events it observes to ``log.jsonl``.

    Lines reach the disk before every checkpoint, so the log is never behind one that a run could
    resume from. What a resumed run does a second time is not written a second time.
    """

    def __init__(self, path: Path, *, first_step: int = 0, saved: Path | None = None) -> None:
        """Continue the log at ``first_step``: what a killed run logged beyond that is dropped.

        ``saved`` is that step's checkpoint, if any: a run may be killed before it could say so.
        """
        kept = [event for event in read_log(path) if event["step"] <= first_step]
        lines = [json.dumps(event) + "\n" for event in kept]
        write_atomically(path, "".join(lines).encode())
        self._known = {_identity(event) for event in kept if event["step"] == first_step}
        self._first_step = first_step
        self._file = path.open("a", encoding="utf-8")
        if saved is not None:
            self(Saved(first_step, saved))

    def __call__(self, event: Event) -> None:
        """Append one event; ``Saving`` is none, but a reason to bring the others to the disk."""
        if isinstance(event, Saving):
            self._flush()
            return
        fields = {"event": NAMES[type(event)], **asdict(event)}
        if isinstance(event, Evaluated):
            fields |= {**fields.pop("evaluation"), "perplexity": event.evaluation.perplexity}
        if isinstance(event, Saved):
            fields["path"] = event.path.name
        if event.step == self._first_step and _identity(fields) in self._known:
            return
        self._file.write(json.dumps(fields) + "\n")
        if isinstance(event, Saved):
            self._flush()

    def _flush(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write out what is buffered."""
        self._file.close()


def _identity(fields: dict[str, Any]) -> tuple[object, ...]:
    """Return what no two lines of one step have in common."""
    return fields.get("event"), fields.get("whole")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Return the events of a log, oldest first; a last line cut short by a kill is left out."""
    if not path.exists():
        return []
    events = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            event = json.loads(line)
        except json.JSONDecodeError:
            continue
        if isinstance(event, dict) and isinstance(event.get("step"), int):
            events.append(event)
    return events
