"""Running a trainer in front of a person: live view, run log, Ctrl-C, and what to do next."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import typer
from rich.console import Console
from rich.text import Text

from llm_explainer.commands.app import INTERRUPTED
from llm_explainer.console.terminal import show
from llm_explainer.console.training_view import TrainingView
from llm_explainer.spelling import command_line
from llm_explainer.training.runs.run import Run
from llm_explainer.training.trainer import Trainer, TrainResult


def train_and_report(run: Run, console: Console) -> None:
    """Train in front of a person, and say how it went.

    Raises:
        Exit: Ctrl-C ended it; how to go on has been said.
        LLMExplainerError: as ``Trainer.train``.
    """
    result = train_with_view(run, console)
    report_result(result, run, console)
    if not result.finished:
        again = command_line("train_pretrain.py", "--resume", run.folder.path)
        show(console, "continue with  ", Text(f"uv run {again}", "bold"))
        raise typer.Exit(INTERRUPTED)


def train_with_view(run: Run, console: Console) -> TrainResult:
    """Train to the end or to Ctrl-C, showing progress; write the log and the loss curve.

    Raises:
        LLMExplainerError: as ``Trainer.train``.
    """
    trainer, title = run.trainer, str(run.folder.path)
    view = TrainingView(console, title, run.description, trainer.config.steps, trainer.step)
    with stop_on_interrupt(trainer), view:
        return run.train([view])


@contextmanager
def stop_on_interrupt(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C, a polite kill or a closed terminal end training after the step in progress.

    A second Ctrl-C interrupts at once, as usual; the newest checkpoint stays whole.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        trainer.request_stop()
        signal.signal(number, signal.default_int_handler)

    signals = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signals.append(signal.SIGHUP)  # Windows lacks it; nohup has this process ignore it
    before = [signal.signal(number, stop) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def report_result(result: TrainResult, run: Run, console: Console) -> None:
    """Say how training ended and where everything is."""
    if result.evaluation:
        measured = result.evaluation
        per_byte = measured.bits_per_byte
        bits = "" if per_byte is None else f", {per_byte:.3f} bits a byte"
        show(
            console,
            Text(f"Validation loss {measured.loss:.4f}", "bold"),
            f" on all validation text (perplexity {measured.perplexity:.2f}{bits})",
        )
        show(console, f"checkpoint  {result.checkpoint}")
        show(console, f"loss curve  {run.folder.curve_file}")
    else:
        show(console, f"stopped after step {result.step:,}; checkpoint {result.checkpoint}")
