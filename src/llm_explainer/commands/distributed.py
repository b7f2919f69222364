"""Commands that run as several processes: who leads, who works, and how all of them end."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import typer

from llm_explainer.backend import load_backend
from llm_explainer.commands.app import FAILED
from llm_explainer.commands.signals import Ended, exit_code_of
from llm_explainer.console.streams import say
from llm_explainer.errors import ConfigError, ProcessLost, TrainingError
from llm_explainer.spelling import command_line
from llm_explainer.training.distributed.processes import Processes
from llm_explainer.training.distributed.same_settings import check_same_settings
from llm_explainer.training.distributed.shared_step import end_work, work
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.train_step import make_train_step


def join(backend: str, settings: dict[str, Any], folder: RunFolder) -> Processes:
    """Join the other processes; only process 0 returns from here, the others work until it ends.

    Args:
        backend: mlx, which alone can
        settings: what this process was asked to do
        folder: the run's

    Raises:
        LLMExplainerError: the backend cannot, there are no others, or they disagree.
    """
    nn = load_backend(backend)
    group = nn.connect()
    processes = Processes(group, lambda seconds: _give_up(group.rank, seconds, folder))
    try:
        check_same_settings(processes, {name: _plain(value) for name, value in settings.items()})
        if group.rank > 0:
            # Process 0 decides when all stop; where it is gone, the next collective fails.
            _ignore("SIGINT", "SIGHUP", "SIGTERM")
            raise typer.Exit(
                work(
                    processes,
                    lambda spec, train: make_train_step(nn, spec.build(nn), train, group),
                )
            )
    except ConfigError:
        if group.rank > 0:
            raise typer.Exit(FAILED) from None  # process 0 says it for all
        raise
    except ProcessLost as lost:
        raise TrainingError(_lost(lost, group.rank, folder)) from None
    return processes


@contextmanager
def leading(processes: Processes | None, folder: RunFolder) -> Iterator[None]:
    """Let the other processes, if any, end when the block ends, and with the same exit code.

    Raises:
        TrainingError: one of them is gone.
    """
    if processes is None:
        yield
        return
    try:
        yield
    except ProcessLost as lost:
        raise TrainingError(_lost(lost, 0, folder)) from None
    except BaseException as error:  # a signal too
        _dismiss(processes, _exit_code_of(error))
        raise
    else:
        _dismiss(processes, 0)


def _exit_code_of(error: BaseException) -> int:
    match error:
        case typer.Exit():
            return error.exit_code
        case Ended():
            return exit_code_of(error.number)
        case KeyboardInterrupt():
            return exit_code_of(signal.SIGINT)
        case _:
            return FAILED


def _dismiss(processes: Processes, exit_code: int) -> None:
    # A launcher kills the rest as soon as one process fails, and this one has yet to say why.
    _ignore("SIGTERM")
    with suppress(ProcessLost):
        end_work(processes, exit_code)


def _give_up(rank: int, seconds: float, folder: RunFolder) -> NoReturn:
    """End this process from another thread than the one that waits in vain."""
    reason = f"nothing heard from the others for {seconds:.0f} s"
    say(f"error: {_lost(reason, rank, folder)}", color="red")
    os._exit(FAILED)


def _lost(reason: object, rank: int, folder: RunFolder) -> str:
    """Return what a process says that cannot go on without another one."""
    if rank > 0:  # which may be on a machine that lacks the run folder
        hint = "process 0 has the checkpoints to --resume from"
    elif folder.steps():
        again = command_line("--resume", folder.path)
        hint = f"the newest checkpoint is whole: go on from it with {again}"
    else:
        hint = "there is no checkpoint yet: start again"
    return f"process {rank}: {reason}; {hint}"


def _ignore(*names: str) -> None:
    """Ignore the signals of these names that the system has."""
    for name in names:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value
