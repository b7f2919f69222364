"""However process 0 ends, it dismisses the others, who end with its exit code."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from test_distributed import error_lines, ring

from llm_explainer.commands import distributed
from llm_explainer.commands.signals import Ended
from llm_explainer.training.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("error", "exit_code"),
    [(Ended(15), 143), (KeyboardInterrupt(), 130), (MemoryError(), 2), (typer.Exit(1), 1)],
    ids=lambda value: type(value).__name__,
)
def test_whatever_ends_process_0_the_others_are_told(
    error: BaseException, exit_code: int, monkeypatch: Any, tmp_path: Path
) -> None:
    told: list[int] = []
    monkeypatch.setattr(distributed, "_ignore", lambda *names: None)
    monkeypatch.setattr(distributed, "end_work", lambda processes, code: told.append(code))
    processes: Any = SimpleNamespace()
    with pytest.raises(type(error)), distributed.leading(processes, RunFolder(tmp_path)):
        raise error
    assert told == [exit_code]


@pytest.mark.skipif(not os.environ.get("CAMPAIGNS"), reason="by hand, with CAMPAIGNS=1")
def test_a_signal_to_the_first_while_it_prepares_ends_the_others(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "text")
    command = [f"--corpus={tmp_path / 'text'}", f"--out={tmp_path / 'run'}", "--size=tiny"]
    with ring(tmp_path, command, command) as processes:
        while (writer := _open_if_read(tmp_path / "text")) is None:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.02)
        processes[0].send_signal(signal.SIGTERM)
        lines = [error_lines(process) for process in processes]
        assert [process.returncode for process in processes] == [143, 143]
        os.close(writer)
    assert lines == [["ended by SIGTERM"], []]
    assert not (tmp_path / "run").exists()


def _open_if_read(pipe: Path) -> int | None:
    try:
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return None
