"""Training as it happens: a live panel on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import errno
import time
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from llm_explainer.console.sparkline import sparkline
from llm_explainer.console.terminal import is_live, show
from llm_explainer.spelling import spelled_out
from llm_explainer.training.events import (
    Answered,
    Evaluated,
    Event,
    Sampled,
    Saved,
    StepDone,
)
from llm_explainer.training.runs.loss_curve import SMOOTHING

CURVE_WIDTH = 60
LINE_EVERY_S = 10.0
SAMPLE_CHARACTERS = 360


class TrainingView:
    """Shows the events of a trainer; use it as a context manager and as an observer.

    Args:
        console: where to
        title: the run's name
        description: what is trained, in one line
        total_steps: of the run
        first_step: already done when this session starts
    """

    def __init__(
        self,
        console: Console,
        title: str,
        description: str,
        total_steps: int,
        first_step: int = 0,
    ) -> None:
        self._console = console
        self._title, self._description = spelled_out(title), spelled_out(description)
        self._total_steps = total_steps
        self._first_step = self._step = first_step
        self._started = self._last_line = time.monotonic()
        self._losses: list[float] = []
        self._smoothed = self._weight = 0.0
        self._tokens, self._seconds = 0, 0.0
        self._last: StepDone | None = None
        self._evaluation = "not yet"
        self._sample = self._answers = ""
        self._checkpoint = ""
        self._live = (
            Live(get_renderable=self._panel, console=console, refresh_per_second=4)
            if is_live(console)
            else None
        )

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        else:
            self._line(f"{self._title}: {self._description}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            with contextlib.suppress(OSError):  # a terminal that was closed
                self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take in one event."""
        match event:
            case StepDone():
                self._take_step(event)
            case Evaluated():
                measured = event.evaluation
                per_byte = measured.bits_per_byte
                bits = "" if per_byte is None else f", {per_byte:.3f} bits a byte"
                mark = " (best so far)" if event.best else ""
                whole = " on all validation text" if event.whole else ""
                self._evaluation = (
                    f"{measured.loss:.4f}, perplexity {measured.perplexity:.2f}{bits}{whole}{mark}"
                )
                self._line(f"  validation loss {self._evaluation}")
            case Sampled():
                self._sample = spelled_out(event.text.strip())
                self._line(f"  sample: {_shorten(self._sample)}")
            case Answered():
                self._take_answers(event)
            case Saved():
                self._checkpoint = spelled_out(event.path)

    def _take_answers(self, event: Answered) -> None:
        self._answers = f"{event.n_right} of {event.n_asked} right to the letter"
        self._line(f"  answers: {self._answers}")
        examples = [
            f"{'✓' if given == right else '✗'} {question} {given.strip()}"
            + ("" if given == right else f" (right: {right.strip()})")
            for question, given, right in event.examples
        ]
        self._sample = spelled_out("\n".join(examples))
        for line in self._sample.splitlines():
            self._line(f"    {line}")

    def _take_step(self, event: StepDone) -> None:
        self._last, self._step = event, event.step
        self._losses.append(event.loss)
        self._smoothed = SMOOTHING * self._smoothed + (1 - SMOOTHING) * event.loss
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        self._tokens += event.tokens
        self._seconds += event.seconds
        if time.monotonic() - self._last_line >= LINE_EVERY_S:
            self._last_line = time.monotonic()
            self._line(
                f"step {event.step}/{self._total_steps}  "
                f"loss {self._smoothed / self._weight:.4f}  lr {event.learning_rate:.2e}  "
                f"{self._tokens / self._seconds:,.0f} tokens/s  "
                f"{event.peak_memory / 1e9:.2f} GB  {self._time_left()} left"
            )

    def _line(self, text: str) -> None:
        if not self._live:
            try:
                show(self._console, text)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                # A full disk of the output's is no reason to end the training.

    def _time_left(self) -> str:
        done = self._step - self._first_step
        if not done:
            return "?"
        per_step = (time.monotonic() - self._started) / done
        return str(timedelta(seconds=round(per_step * (self._total_steps - self._step))))

    def _panel(self) -> Panel:
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            f"step {self._step:,}/{self._total_steps:,}",
            ProgressBar(total=self._total_steps, completed=self._step, width=36),
            f"{self._time_left()} left",
        )
        rows = Table.grid(padding=(0, 2))
        rows.add_column(style="dim")
        rows.add_column()
        rows.add_row("what", Text(self._description))
        if self._last:
            rows.add_row(
                "training loss",
                f"{self._smoothed / self._weight:.4f} smoothed, {self._last.loss:.4f} this step",
            )
            rows.add_row("", Text(sparkline(self._losses, CURVE_WIDTH), style="cyan"))
        rows.add_row("validation loss", self._evaluation)
        if self._last:
            rows.add_row("learning rate", f"{self._last.learning_rate:.2e}")
            rows.add_row("gradient norm", f"{self._last.grad_norm:.3f}")
            rows.add_row("speed", f"{self._tokens / self._seconds:,.0f} tokens/s")
            if self._last.peak_memory:
                rows.add_row("memory", f"{self._last.peak_memory / 1e9:.2f} GB at most")
        if self._checkpoint:
            rows.add_row("checkpoint", Text(self._checkpoint, overflow="fold"))
        if self._answers:
            rows.add_row("answers", self._answers)
            rows.add_row("", Text(self._sample))
        elif self._sample:
            rows.add_row("sample", Text(_shorten(self._sample), style="italic"))
        return Panel(Group(bar, rows), title=Text(self._title), title_align="left")


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SAMPLE_CHARACTERS else text[: SAMPLE_CHARACTERS - 1] + "…"
