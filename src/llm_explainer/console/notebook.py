"""Training as it happens, in a notebook: one line with a bar, renewed in its place."""

from __future__ import annotations

import html
import sys
import time
from datetime import timedelta
from typing import Any, Self

from llm_explainer.training.events import Answered, Evaluated, Event, StepDone

EVERY_S = 0.3


def is_notebook() -> bool:
    """Return whether this Python runs in a notebook, which shows HTML."""
    shell = sys.modules.get("IPython")
    found = None if shell is None else shell.get_ipython()
    return found is not None and type(found).__name__ == "ZMQInteractiveShell"


class NotebookView:
    """Shows the events of a trainer below the cell; use it as a context manager and observer.

    Args:
        total_steps: of the run
    """

    def __init__(self, total_steps: int) -> None:
        self._total = total_steps
        self._first: int | None = None  # done before this session
        self._started = self._shown = time.monotonic()
        self._last: StepDone | None = None
        self._evaluation = self._answers = ""
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._handle = display(HTML(""), display_id=True)
        return self

    def __exit__(self, *raised: object) -> None:
        self._show()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case StepDone():
                if self._first is None:
                    self._first = event.step - 1
                self._last = event
            case Evaluated():
                self._evaluation = f"validation {event.evaluation.loss:.4f}"
            case Answered():
                self._answers = f"{event.n_right} of {event.n_asked} answers right"
        if time.monotonic() - self._shown >= EVERY_S:
            self._show()

    def _show(self) -> None:
        from IPython.display import HTML

        self._shown = time.monotonic()
        if self._last is None or self._first is None:
            return
        step = self._last.step
        per_step = (self._shown - self._started) / max(1, step - self._first)
        left = timedelta(seconds=round(per_step * (self._total - step)))
        facts = [f"step {step:,} of {self._total:,}", f"loss {self._last.loss:.4f}"]
        facts += [fact for fact in (self._evaluation, self._answers) if fact]
        facts.append(f"{left} left")
        bar = f'<progress value="{step}" max="{self._total}" style="width:20em"></progress>'
        self._handle.update(HTML(f"{bar} {html.escape(', '.join(facts))}"))
