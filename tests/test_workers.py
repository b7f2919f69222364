"""Workers of a training step: processes and threads do the same, and nothing is left behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from small_models import FAMILIES, random_model, random_tokens, small_config

from llm_explainer.batch import Batch
from llm_explainer.errors import TrainingError, WorkerLost
from llm_explainer.numpy_backend import AdamW, TrainStep
from llm_explainer.numpy_backend.engine import workers
from llm_explainer.numpy_backend.engine.flat import shared_zeros
from llm_explainer.numpy_backend.engine.workers import ForkWorkers, ThreadWorkers, Workers

linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has a safe fork")


class Owner:
    """Has methods that tell where they ran."""

    def __init__(self) -> None:
        self.numbers = shared_zeros(4, np.float64)

    def pid(self, worker: int) -> int:
        return os.getpid()

    def write(self, worker: int, value: float) -> int:
        self.numbers[worker] = value
        return worker

    def divide(self, worker: int, divisor: int) -> float:
        return 1 / divisor

    def overflow(self, worker: int) -> float:
        return float((np.full(2, 1e30, np.float32) * 1e30)[0])

    def wait(self, worker: int) -> None:
        while worker:
            time.sleep(0.01)
        raise KeyboardInterrupt

    def die(self, worker: int) -> None:
        if worker:
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(params=[pytest.param(ForkWorkers, marks=linux), ThreadWorkers])
def team(request: pytest.FixtureRequest) -> Workers:
    made: Workers = request.param(3)
    return made


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_worker_does_its_part(team: Workers) -> None:
    owner = Owner()
    for values in ([5.0, 6.0, 7.0], [1.0, 2.0], [3.0]):
        owner.numbers[:] = 0
        arguments = [(value,) for value in values]
        assert team.run(owner, Owner.write, arguments) == list(range(len(values)))
        np.testing.assert_array_equal(owner.numbers[: len(values)], values)
        assert not owner.numbers[len(values) :].any()


def test_what_is_not_finite_is_no_warning(team: Workers) -> None:
    assert team.run(Owner(), Owner.overflow, [()] * 3) == [np.inf] * 3


def test_an_error_is_told_and_the_workers_go_on(team: Workers) -> None:
    owner = Owner()
    with pytest.raises((TrainingError, ZeroDivisionError), match="division by zero"):
        team.run(owner, Owner.divide, [(1,), (0,), (1,)])
    with pytest.raises(ZeroDivisionError):
        team.run(owner, Owner.divide, [(0,), (2,), (4,)])
    assert team.run(owner, Owner.divide, [(1,), (2,), (4,)]) == [1, 1 / 2, 1 / 4]


@linux
def test_processes_end_with_their_owner() -> None:
    team = ForkWorkers(3)
    pids = team.run(Owner(), Owner.pid, [()] * 3)
    assert pids[0] == os.getpid()
    assert len(set(pids)) == 3
    assert team.run(Owner(), Owner.pid, [()] * 3) == pids  # not made anew for each call
    del team
    gc.collect()
    assert [is_running(pid) for pid in pids] == [True, False, False]


@linux
def test_an_interrupted_call_leaves_no_answer_behind() -> None:
    team, owner = ForkWorkers(2), Owner()
    with pytest.raises(KeyboardInterrupt):
        team.run(owner, Owner.wait, [()] * 2)
    assert team.run(owner, Owner.divide, [(1,), (2,)]) == [1, 1 / 2]


@linux
def test_a_process_that_was_killed_is_told() -> None:
    team, owner = ForkWorkers(2), Owner()
    with pytest.raises(TrainingError, match="a training process was stopped"):
        team.run(owner, Owner.die, [()] * 2)
    assert team.run(owner, Owner.divide, [(1,), (2,)]) == [1, 1 / 2]


@linux
@pytest.mark.parametrize("method", ["_shard_gradients", "_update_stretch"])
def test_a_lost_worker_tells_whether_the_weights_are_whole(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(step: Any, worker: int, *arguments: Any) -> Any:
        return os.kill(os.getpid(), signal.SIGKILL) if worker else original(step, 0, *arguments)

    original = getattr(TrainStep, method)
    die.__module__, die.__qualname__ = original.__module__, original.__qualname__  # found by name
    monkeypatch.setattr(TrainStep, method, die)
    model = random_model(small_config(), np.float32)
    tokens = random_tokens(model.config, 4, 6)
    with pytest.raises(WorkerLost) as lost:
        TrainStep(model, AdamW(model), workers=2)([Batch(tokens, tokens)], 0.05)
    assert lost.value.weights_are_whole == (method == "_shard_gradients")


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_ends_a_run_is_for_the_first_process(number: int) -> None:
    team, owner = ForkWorkers(2), Owner()
    _, pid = team.run(owner, Owner.pid, [()] * 2)
    os.kill(pid, number)
    assert team.run(owner, Owner.pid, [()] * 2)[1] == pid


ORPHANS = """
import os, signal
from llm_explainer.numpy_backend.engine.workers import ForkWorkers
class Owner:
    def pid(self, worker): return os.getpid()
owner, teams = Owner(), [ForkWorkers(3), ForkWorkers(3)]
print(*[pid for team in teams for pid in team.run(owner, Owner.pid, [()] * 3)[1:]], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@linux
def test_no_process_outlives_a_killed_one() -> None:
    """Their pipes end, and so do they: only then does standard output, which they hold too."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHANS], capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(done.stdout.split()) == 4


@linux
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_processes_and_threads_train_to_the_same_bytes(
    family: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for kind in (ForkWorkers, ThreadWorkers):
        monkeypatch.setattr("llm_explainer.numpy_backend.engine.train_step.make_workers", kind)
        config = small_config(**family, dropout=0.2)
        model = random_model(config, np.float32)
        adamw = AdamW(model)
        step = TrainStep(model, adamw, workers=3)
        results = []
        for seed, n_batches in enumerate((1, 2, 1)):
            tokens = random_tokens(config, 5, 6, seed)
            targets = random_tokens(config, 5, 6, seed + 100)
            results.append(step([Batch(tokens, targets)] * n_batches, 0.05, [seed]))
        state = [array.tobytes() for array in adamw.state().values()]
        ends.append(
            (results, step.evaluate(Batch(tokens, targets)), adamw.flat.values.tobytes(), state)
        )
    assert ends[0] == ends[1]


def test_linux_forks_and_others_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    for platform, kind in {
        "linux": ForkWorkers,
        "darwin": ThreadWorkers,
        "win32": ThreadWorkers,
    }.items():
        monkeypatch.setattr(workers.sys, "platform", platform)
        assert isinstance(workers.make_workers(2), kind)
