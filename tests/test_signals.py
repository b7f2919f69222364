"""Every signal, at every moment, to every target: nothing is lost, nobody is left behind.

Each cell of the tables is one training in a process of its own, which is held up at the moment.
``CAMPAIGNS=1 uv run pytest tests/test_signals.py`` tries all cells instead of some.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from run_commands import TINY, write_text
from warm_commands import Commands, members, wait_for

from llm_explainer.checkpoint.way_back import is_whole
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.log import read_log

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc")

STEPS = 12
OPTIONS = [
    "train_pretrain.py",
    *TINY,
    *("--workers=2", "--eval-every=4", "--sample-every=4", "--checkpoint-every=5"),
    *("--corpus=text.txt", "--out=run", f"--steps={STEPS}", "--learning-rate=1e-3"),
]
PREPARING = {
    "reading": ("llm_explainer.training.pretrain:load_corpus", 1),
    "encoding": ("llm_explainer.training.pretrain:write_tokens", 2),
    "measuring": ("llm_explainer.training.runs.run:preflight", 1),
}
TRAINING = {
    "the first save": ("llm_explainer.checkpoint.saving:write_checksums", 1),
    "a step": ("llm_explainer.training.trainer:Trainer._update", 8),
    "evaluating": ("llm_explainer.training.trainer:Trainer.evaluate", 1),
    "sampling": ("llm_explainer.training.trainer:Trainer._demonstrate", 1),
    "saving": ("llm_explainer.checkpoint.saving:write_checksums", 2),
    "pruning": ("llm_explainer.training.runs.folder:RunFolder.prune", 3),
    "the last evaluation": ("llm_explainer.training.trainer:Trainer._finish", 1),
}
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
ECHO, AGAIN = "leader, with an echo", "leader, twice"
TARGETS = ["leader", "group", ECHO, AGAIN]
ALL = bool(os.environ.get("CAMPAIGNS"))


def cells(moments: Iterable[str], targets: list[str]) -> list[Any]:
    """Return moments x signals x targets; fewer unless all are asked for."""
    found = []
    for i, (moment, number, target) in enumerate(product(moments, SIGNALS, TARGETS)):
        is_usual = target in targets or (target == AGAIN and number == signal.SIGTERM)
        if ALL or (is_usual and i % 5 == 0):
            found.append(
                pytest.param(moment, number, target, id=f"{moment}-{number.name}-{target}")
            )
    return found


@pytest.fixture(scope="module")
def commands() -> Iterator[Commands]:
    with Commands() as started:
        yield started


class Training:
    """One that is held up at a moment."""

    def __init__(self, commands: Commands, folder: Path, place: tuple[str, int], **how) -> None:
        write_text(folder / "text.txt")
        self.commands, self.folder, self.run = commands, folder, RunFolder(folder / "run")
        at, nth = place
        self.pid = commands.start(folder, *OPTIONS, at=at, nth=nth, **how)
        wait_for(folder / "moment", self.pid)

    def send(self, number: int, target: str) -> None:
        if target == "group":
            os.killpg(self.pid, number)
        elif target == "worker":
            os.kill(max(members(self.pid)), number)
        else:
            os.kill(self.pid, number)
        if target in (ECHO, AGAIN):
            time.sleep(0.06)
            os.kill(self.pid, number)
        if number != signal.SIGSTOP:
            (self.folder / "go").touch()

    def end(self) -> int:
        code = self.commands.wait(self.pid)
        deadline = time.monotonic() + 5  # workers may be seen for a moment after their leader
        while members(self.pid):
            assert time.monotonic() < deadline, "somebody is left behind"
            time.sleep(0.01)
        return code

    @property
    def said(self) -> str:
        return (self.folder / "output").read_text() + (self.folder / "errors").read_text()

    def assert_can_go_on(self) -> int:
        """Check that the newest checkpoint is whole, and the log with it; return its step."""
        newest = self.run.newest()
        assert is_whole(newest)
        step = self.run.steps()[-1]
        logged = [e["step"] for e in read_log(self.run.log_file) if e["event"] == "step"]
        assert logged[:step] == list(range(1, step + 1))
        assert "train_pretrain.py --resume run" in self.said, self.said
        assert "Traceback" not in self.said
        assert not (self.folder / "run/run.lock").exists()
        return step


@pytest.mark.parametrize(("moment", "number", "target"), cells(PREPARING, ["leader"]))
def test_a_signal_while_preparing(moment, number, target, commands, tmp_path) -> None:
    training = Training(commands, tmp_path, PREPARING[moment])
    training.send(number, target)
    assert training.end() == 128 + number, training.said
    assert not (tmp_path / "run").exists()
    assert "Traceback" not in training.said


@pytest.mark.parametrize(("moment", "number", "target"), cells(TRAINING, ["leader", "group"]))
def test_a_signal_while_training(moment, number, target, commands, tmp_path) -> None:
    place = TRAINING[moment]
    training = Training(commands, tmp_path, place, echo_s=0.03 if target == AGAIN else 1.0)
    training.send(number, target)
    code = training.end()
    assert code == 128 + number, training.said
    if target == AGAIN and moment == "the first save":
        assert not training.run.steps()
        return
    step = training.assert_can_go_on()
    if target != AGAIN:  # which does not wait for the end of a step
        logged = read_log(training.run.log_file)
        assert step == logged[-1]["step"]


@pytest.mark.parametrize(
    "number", [*(SIGNALS if ALL else []), signal.SIGKILL], ids=lambda number: number.name
)
@pytest.mark.parametrize(
    "moment", ["a step", *(["evaluating", "saving", "the last evaluation"] if ALL else [])]
)
def test_a_signal_to_a_worker(moment, number, commands, tmp_path) -> None:
    training = Training(commands, tmp_path, TRAINING[moment])
    training.send(number, "worker")
    code = training.end()
    if number != signal.SIGKILL:  # workers leave it to their leader
        assert code == 0, training.said
        assert training.run.steps()[-1] == STEPS
        return
    assert code == 2
    assert "a training process was stopped, perhaps for lack of memory" in training.said
    step = training.assert_can_go_on()
    logged = [e["step"] for e in read_log(training.run.log_file) if e["event"] == "step"]
    assert step == logged[-1]


@pytest.mark.parametrize("target", ["leader", "group"] if ALL else ["group"])
@pytest.mark.parametrize("moment", ["a step", "saving"])
def test_stop_and_continue(moment, target, commands, tmp_path) -> None:
    training = Training(commands, tmp_path, TRAINING[moment])
    training.send(signal.SIGSTOP, target)
    time.sleep(0.05)
    training.send(signal.SIGCONT, target)
    assert training.end() == 0, training.said
    assert training.run.steps()[-1] == STEPS


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
