"""Every signal, at every moment, to every target: nothing is lost, nobody is left behind.

Each cell of the tables is one training in a process of its own, which is held up at the moment.
``CAMPAIGNS=1 uv run pytest tests/test_signals.py`` tries all cells instead of some.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest
from held_training import AGAIN, ECHO, PREPARING, STEPS, TRAINING, Training
from run_commands import tree

from llm_explainer.training.runs.log import read_log

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and /proc")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
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


UPDATING = "llm_explainer.numpy_backend.engine.train_step:TrainStep._update_stretch"
FIRST = "run/log.jsonl"  # before it is there, steps are taken to measure them


@pytest.mark.parametrize("nth", [1, 8, STEPS] if ALL else [8])
def test_a_worker_killed_while_it_updates_parameters(nth, commands, tmp_path) -> None:
    """Half of them are of another step than the rest: these are never saved."""
    training = Training(commands, tmp_path, (UPDATING, nth), after=FIRST)
    training.send(signal.SIGKILL, "worker")
    assert training.end() == 2
    step = training.assert_can_go_on()
    assert step == {1: 0, 8: 5, STEPS: 10}[nth]
    assert f"continue after step {step} with  uv run train_pretrain.py" in training.said
    (tmp_path / "other").mkdir()
    undisturbed = Training(commands, tmp_path / "other", (UPDATING, 1), after=FIRST)
    undisturbed.send(signal.SIGCONT, "leader")
    assert undisturbed.end() == 0
    assert commands.wait(commands.start(tmp_path, "train_pretrain.py", "--resume=run")) == 0
    ends = [tree(there.run.checkpoint(STEPS)) for there in (training, undisturbed)]
    assert ends[0] == ends[1]


@pytest.mark.parametrize("target", ["leader", "group"] if ALL else ["group"])
@pytest.mark.parametrize("moment", ["saving", *(["a step"] if ALL else [])])
def test_stop_and_continue(moment, target, commands, tmp_path) -> None:
    training = Training(commands, tmp_path, TRAINING[moment])
    training.send(signal.SIGSTOP, target)
    time.sleep(0.05)
    training.send(signal.SIGCONT, target)
    assert training.end() == 0, training.said
    assert training.run.steps()[-1] == STEPS
