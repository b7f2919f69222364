"""Training whose terminal is closed or stopped, whose output is full or read by nobody any more.

``CAMPAIGNS=1 uv run pytest tests/test_lost_streams.py`` tries all cells instead of some.
"""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import threading

import pytest
from held_training import OPTIONS, PREPARING, STEPS, TRAINING, Training
from run_commands import tree, write_text
from warm_commands import wait_for

from llm_explainer.commands.training import Ending
from llm_explainer.training.runs.folder import RunFolder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc")

ALL = bool(os.environ.get("CAMPAIGNS"))
MOMENTS = ["a step", *(["evaluating", "saving", "the last evaluation"] if ALL else [])]
CTRL_C, CTRL_Z = b"\x03", b"\x1a"


class Terminal:
    """One that takes all that is written to it, until it is closed."""

    def __init__(self) -> None:
        self._here, there = pty.openpty()
        self.name = os.ttyname(there)
        self._there = there  # or reading would fail before somebody else has it
        self.shown, self._is_over = b"", threading.Event()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        # Never inside a read for long: it would keep the terminal open.
        while not self._is_over.is_set():
            if select.select([self._here], [], [], 0.01)[0]:
                self.shown += os.read(self._here, 4096)

    def type(self, keys: bytes) -> None:
        os.write(self._here, keys)

    def hang_up(self) -> None:
        self._is_over.set()
        self._reader.join()
        os.close(self._there)
        os.close(self._here)


def test_a_signal_says_more_than_a_lost_output() -> None:
    assert Ending(number=signal.SIGHUP, is_unread=True).exit_code == 129
    assert Ending(is_unread=True).exit_code == 1


@pytest.mark.parametrize("moment", ["a step", "evaluating", "saving"] if ALL else ["a step"])
def test_output_that_nobody_reads_any_more(moment, commands, tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    training = Training(commands, tmp_path, TRAINING[moment], output="pipe")
    os.close(reader)
    (tmp_path / "output").touch()
    (tmp_path / "go").touch()
    assert training.end() == 1, training.said
    training.assert_can_go_on()


@pytest.mark.parametrize("moment", MOMENTS)
def test_output_that_becomes_full(moment, commands, tmp_path) -> None:
    """It is no reason to end: the checkpoints may be on another disk."""
    training = Training(commands, tmp_path, TRAINING[moment], full=True)
    (tmp_path / "go").touch()
    assert training.end() == 2, training.said
    assert training.run.steps()[-1] == STEPS
    assert (tmp_path / "errors").read_text() == "error: No space left on device\n"


@pytest.mark.skipif(not ALL, reason="by hand, with CAMPAIGNS=1")
@pytest.mark.parametrize("again", ["new", "overwrite", "resume"])
def test_output_that_is_full_before_the_first_step(again, commands, tmp_path) -> None:
    """Whoever began it is still there to see that; nothing is lost, and it begins anew."""
    write_text(tmp_path / "text.txt")
    words = {"new": [], "overwrite": ["--overwrite"], "resume": None}[again]
    if again != "new":
        Training(commands, tmp_path, TRAINING["a step"]).finish()
    before = tree(tmp_path / "run") if again == "resume" else {}
    command = [*OPTIONS, *words] if words is not None else ["train_pretrain.py", "--resume=run"]
    place = {"at": "llm_explainer.commands.pretrain:finish", "full": True}
    (tmp_path / "go").touch()
    assert commands.wait(commands.start(tmp_path, *command, **place)) == 2
    assert (tmp_path / "errors").read_text() == "error: No space left on device\n"
    after = tree(tmp_path / "run")
    assert {name: after[name] for name in before} == before
    assert commands.wait(commands.start(tmp_path, *command)) == 0
    assert RunFolder(tmp_path / "run").steps()[-1] == STEPS


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_terminal_that_is_closed(moment, commands, tmp_path) -> None:
    terminal = Terminal()
    training = Training(commands, tmp_path, TRAINING[moment], terminal=terminal.name)
    terminal.hang_up()
    (tmp_path / "go").touch()
    assert training.end() == 128 + signal.SIGHUP
    step = training.assert_whole()
    assert step == training.logged()[-1]


@pytest.mark.parametrize("moment", PREPARING if ALL else [])
def test_a_terminal_that_is_closed_while_preparing(moment, commands, tmp_path) -> None:
    terminal = Terminal()
    training = Training(commands, tmp_path, PREPARING[moment], terminal=terminal.name)
    terminal.hang_up()
    (tmp_path / "go").touch()
    assert training.end() == 128 + signal.SIGHUP
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("moment", [*MOMENTS, *(PREPARING if ALL else [])])
def test_ctrl_z_and_on(moment, commands, tmp_path) -> None:
    terminal = Terminal()
    place = {**TRAINING, **PREPARING}[moment]
    training = Training(commands, tmp_path, place, terminal=terminal.name)
    terminal.type(CTRL_Z)
    wait_for(tmp_path / "stopped", training.pid)
    (tmp_path / "go").touch()
    (tmp_path / "on").touch()
    assert training.end() == 0, terminal.shown
    terminal.hang_up()
    assert training.run.steps()[-1] == STEPS
    assert b"Validation loss" in terminal.shown


@pytest.mark.parametrize("moment", MOMENTS if ALL else [])
def test_ctrl_c(moment, commands, tmp_path) -> None:
    terminal = Terminal()
    training = Training(commands, tmp_path, TRAINING[moment], terminal=terminal.name)
    terminal.type(CTRL_C)
    (tmp_path / "go").touch()
    assert training.end() == 128 + signal.SIGINT, terminal.shown
    terminal.hang_up()
    training.assert_whole()
    assert b"train_pretrain.py --resume run" in terminal.shown


@pytest.mark.parametrize("streams", ["0", "1", "2", "012"] if ALL else [])
def test_streams_that_are_closed_from_the_start(streams, commands, tmp_path) -> None:
    training = Training(commands, tmp_path, TRAINING["a step"], closed=[*map(int, streams)])
    (tmp_path / "go").touch()
    assert training.end() == 0, training.said
    assert training.run.steps()[-1] == STEPS
