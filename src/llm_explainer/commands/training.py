"""Running a trainer in front of a person: live view, run log, every end, and what to do next."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.text import Text

from llm_explainer.commands.signals import Ended, end, exit_code_of, on_signals
from llm_explainer.console.notebook import NotebookView, is_notebook
from llm_explainer.console.streams import give_up_lost_streams
from llm_explainer.console.terminal import make_console, show
from llm_explainer.console.training_view import TrainingView
from llm_explainer.errors import WorkerLost
from llm_explainer.program import typed
from llm_explainer.run_folders import meant_checkpoint
from llm_explainer.spelling import command_line
from llm_explainer.training.events import Event
from llm_explainer.training.runs.names import resume_command
from llm_explainer.training.runs.run import Run
from llm_explainer.training.trainer import Trainer, TrainResult

UNREAD = 1
"""Exit code of a program whose output nobody reads any more."""

OVERFITTED = 0.02
"""So much worse than the best, as a share, is more than chance."""

LOST = (OSError, SystemExit)
"""What a lost output raises; rich ends a program so whose pipe is closed."""


@dataclass
class Ending:
    """Why training ended before its last step, if it did."""

    number: int | None = None  # of the signal that asked for it
    is_unread: bool = False  # its output was closed

    @property
    def exit_code(self) -> int:
        """The exit code of a program that ended so."""
        if self.number is None and self.is_unread:
            return UNREAD
        return exit_code_of(self.number or signal.SIGINT)


def train_and_report(run: Run, console: Console, again: str = "") -> None:
    """Train in front of a person, and say how it went.

    ``again`` is the command that goes on with it, where that is not the script of its kind.

    Raises:
        Exit: a signal or a closed output ended it; how to go on has been said.
        LLMExplainerError: as ``Trainer.train``.
    """
    again = again or resume_command(run.folder.path)
    try:
        result, ending = train_with_view(run, console)
    except (KeyboardInterrupt, Ended) as interrupt:
        number = interrupt.number if isinstance(interrupt, Ended) else signal.SIGINT
        steps = run.folder.steps()
        kept = f"kept is {run.folder.checkpoint(steps[-1])}" if steps else "no checkpoint yet"
        _say(console, f"interrupted; {kept}", again if steps else None)
        raise typer.Exit(exit_code_of(number)) from None
    except WorkerLost as lost:
        kept = f"continue after step {run.folder.steps()[-1]:,} with  {again}"
        raise WorkerLost(f"{lost}; {kept}") from None
    if ending.is_unread:
        console = make_console(stderr=True)
    if result.finished:
        report_result(result, run, console)
        if ending.is_unread:
            raise typer.Exit(UNREAD)
    else:
        line = f"stopped after step {result.step:,}; checkpoint {result.checkpoint}"
        _say(console, line, again)
        raise typer.Exit(ending.exit_code)


def train_with_view(run: Run, console: Console) -> tuple[TrainResult, Ending]:
    """Train to the end, to a signal or to a closed output; write the log and the loss curve.

    Raises:
        KeyboardInterrupt, Ended: a second signal, which does not wait for the step to end.
        LLMExplainerError: as ``Trainer.train``.
    """
    trainer, title = run.trainer, str(run.folder.path)
    view = TrainingView(console, title, run.description, trainer.config.steps, trainer.step)
    with stop_on_interrupt(trainer) as ending, _Audience(view, trainer, ending) as audience:
        result = run.train([audience])
    return result, ending


def train_from_python(run: Run, *, progress: bool) -> TrainResult:
    """Train for a caller in Python, who sees how it goes where they are: notebook or terminal.

    Ctrl-C ends it after the step in progress, with a checkpoint.
    """
    if not progress:
        with stop_on_interrupt(run.trainer):
            return run.train()
    if is_notebook():
        with stop_on_interrupt(run.trainer), NotebookView(run.trainer.config.steps) as view:
            return run.train([view])
    result, _ = train_with_view(run, make_console())
    return result


@contextmanager
def stop_on_interrupt(trainer: Trainer) -> Iterator[Ending]:
    """Let Ctrl-C, a polite kill or a closed terminal end training after the step in progress.

    A second one interrupts at once, as usual; the newest checkpoint stays whole.
    """
    ending = Ending()

    def stop(number: int) -> None:
        ending.number = number
        trainer.request_stop()

    with on_signals(stop, end):
        yield ending


class _Audience:
    """The view, for as long as there is somebody to see it.

    Where its output is closed or full, training ends after the step in progress, with a checkpoint.
    """

    def __init__(self, view: TrainingView, trainer: Trainer, ending: Ending) -> None:
        self._view, self._trainer, self._ending = view, trainer, ending
        self._is_there = True

    def __enter__(self) -> _Audience:
        with self._watching():
            self._view.__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        with self._watching():
            self._view.__exit__(None, None, None)

    def __call__(self, event: Event) -> None:
        if self._is_there:
            with self._watching():
                self._view(event)

    @contextmanager
    def _watching(self) -> Iterator[None]:
        try:
            yield
        except LOST:
            self._is_there = False
            self._ending.is_unread = True
            self._trainer.request_stop()
            give_up_lost_streams()


def _say(console: Console, line: str, again: str | None) -> None:
    """Print how training ended and how to go on, on stderr if the console is lost."""
    for place in (console, make_console(stderr=True)):
        with suppress(*LOST):
            show(place, line)
            if again:
                show(place, "continue with  ", Text(again, "bold"))
            return


def report_result(result: TrainResult, run: Run, console: Console) -> None:
    """Say how well a finished run did, and where everything is."""
    measured = result.evaluation
    assert measured is not None  # of a run that finished
    per_byte = measured.bits_per_byte
    bits = "" if per_byte is None else f", {per_byte:.3f} bits a byte"
    loss = Text(f"Validation loss {measured.loss:.4f}", "bold")
    show(console, loss, " on all validation text")
    show(console, f"perplexity  {measured.perplexity:.2f}{bits}")
    show(console, f"checkpoint  {result.checkpoint}")
    meant, best_loss = meant_checkpoint(run.folder.path), run.trainer.best_loss
    if meant not in (None, result.checkpoint):
        show(console, f"its best    {meant} (loss {best_loss:.4f}), which the run stands for")
    show(console, f"loss curve  {run.folder.curve_file}")
    _report_best(result, run, console)


def _report_best(result: TrainResult, run: Run, console: Console) -> None:
    """Say which step was the best, where it was not the last, and how to use it."""
    trainer, path = run.trainer, run.folder.path
    if result.step < trainer.config.steps:
        n = trainer.config.patience
        show(console, f"ended early: {n} evaluations in a row were no better than the best")
    if result.best_step in (None, result.step):
        return
    best = run.folder.checkpoint(result.best_step)
    worse = trainer.last_loss / trainer.best_loss > 1 + OVERFITTED
    show(
        console,
        Text(f"best        {best}", "bold"),
        f": validation loss {trainer.best_loss:.4f} there, {trainer.last_loss:.4f} at the end",
        "; since then it has learned its text by heart" if worse else "",
    )
    if meant_checkpoint(path) == best:
        show(console, f"            {path} stands for it")
        return
    for command in (typed("generate", path, "--best"), typed("pretrain", "--from", path, "--best")):
        show(console, f"            {command}")
    if worse and not trainer.config.patience:
        show(console, "            --patience 2 ends training soon after the best; more text helps")


def finish(run: Run, console: Console, talk: str = "generate", *options: str) -> None:
    """Say what training will take, train, say how it went and what to do next.

    ``talk`` is the command that shows what the model has learned, with its options.
    """
    show(console, run.preflight.summary())
    train_and_report(run, console)
    name = run.folder.path
    show(console, "talk to it  ", Text(typed(talk, name, *options), "bold"))
    if command_line(name) != str(name) and str(name).isprintable() and " " not in str(name):
        show(console, f"            where no shell takes off the quotes: {talk} {name}")
