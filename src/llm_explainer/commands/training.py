"""Running a trainer in front of a person: live view, run log, Ctrl-C, and what to do next."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from llm_explainer.console.training_view import TrainingView
from llm_explainer.training.pretrain import Run
from llm_explainer.training.runs.log import RunLog, read_log
from llm_explainer.training.runs.loss_curve import draw_loss_curve
from llm_explainer.training.trainer import Trainer, TrainResult

INTERRUPTED = 130
"""Exit code of a program that Ctrl-C ended, as shells have it."""


def train_with_view(run: Run, console: Console) -> TrainResult:
    """Train to the end or to Ctrl-C, showing progress; write the log and the loss curve.

    Raises:
        LLMExplainerError: as ``Trainer.train``.
    """
    trainer, folder = run.trainer, run.folder
    log = RunLog(folder.log_file, first_step=trainer.step)
    view = TrainingView(
        console, str(folder.path), run.description, trainer.config.steps, trainer.step
    )
    trainer.observers = [log, view]
    with stop_on_interrupt(trainer):
        try:
            with view:
                return trainer.train()
        finally:
            log.close()
            draw_loss_curve(read_log(folder.log_file), folder.curve_file, folder.path.name)


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
        console.print(
            f"[bold]Validation loss {measured.loss:.4f}[/] on all validation text "
            f"(perplexity {measured.perplexity:.2f}{bits})",
            soft_wrap=True,
        )
        console.print(f"checkpoint  {result.checkpoint}", soft_wrap=True)
        console.print(f"loss curve  {run.folder.curve_file}", soft_wrap=True)
    else:
        console.print(
            f"stopped after step {result.step:,}; checkpoint {result.checkpoint}", soft_wrap=True
        )
