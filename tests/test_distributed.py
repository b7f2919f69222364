"""Several processes train as one: the same losses and weights; one that dies, or disagrees."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mlx_twins import mlx_backend, mx
from safetensors.numpy import load_file

from llm_explainer.commands.app import run
from llm_explainer.commands.pretrain import pretrain
from llm_explainer.commands.training import stop_on_interrupt
from llm_explainer.errors import ProcessLost
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.events import StepDone
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.recipes import recipe
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.log import read_log
from llm_explainer.training.runs.run import resume_run, start_run

ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-4  # of a loss, and of a weight; measured: 4e-6 and 2e-6 after 40 steps


def test_only_a_lost_process_is_called_that() -> None:
    group = mlx_backend.engine.distributed.ProcessGroup(mx.distributed.init())
    with pytest.raises(ProcessLost, match="gone"), group.collective():
        raise RuntimeError("[ring] connection to a peer was lost")
    with pytest.raises(RuntimeError, match="memory"), group.collective():
        raise RuntimeError("[malloc] not enough memory")
    assert group.broadcast(b"x" * 200_000) == b"x" * 200_000  # longer than a frame
    assert group.gather(b"") == [b""]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--backend=numpy"], "'numpy' trains in one process"),
        ([], "no other process to share the work with"),
    ],
)
def test_without_others_it_is_one_line(
    options: list[str], reason: str, monkeypatch: Any, capsys: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--distributed", f"--out={tmp_path / 'run'}", *options])
    with pytest.raises(SystemExit) as caught:
        run(pretrain)
    error = capsys.readouterr().err
    assert (caught.value.code, error.count("\n")) == (2, 1)
    assert reason in error
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="SIGHUP is POSIX")
def test_a_closed_terminal_stops_as_ctrl_c_does_unless_it_is_ignored() -> None:
    """``mlx.launch`` on another machine ends its processes so; ``nohup`` has them ignore it."""
    stops: list[str] = []
    trainer: Any = SimpleNamespace(request_stop=lambda: stops.append("stop"))
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    try:
        with stop_on_interrupt(trainer):
            signal.raise_signal(signal.SIGHUP)
        assert stops == ["stop"]
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with stop_on_interrupt(trainer):
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert stops == ["stop"]


# Real processes, on this machine's loopback


def plan(steps: int) -> PretrainSettings:
    return PretrainSettings(
        data=DataConfig(corpus="stories", max_bytes=15_000, tokenizer="char"),
        train=TrainConfig(
            steps=steps,
            batch_size=5,  # which two cannot share evenly
            learning_rate=1e-2,
            warmup_steps=2,
            eval_every=4,
            eval_windows=7,
            sample_every=0,
            checkpoint_every=3,
        ),
        size="tiny",
        model={"d_model": 16, "context_length": 16},
        backend="mlx",
    )


def options(settings: PretrainSettings, folder: Path) -> list[str]:
    defaults = recipe("tiny").to_dict()
    train = {k: v for k, v in settings.train.to_dict().items() if v != defaults[k]}
    values = {
        "corpus": "stories",
        "max_bytes": settings.data.max_bytes,
        "tokenizer": "char",
        "size": "tiny",
        **settings.model,
        **train,
        "out": folder,
    }
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def free_ports() -> int:
    """Return a port that is free, as the next one is: a ring takes one for each process."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except (OSError, OverflowError):
                continue
            return int(port)


@contextmanager
def ring(tmp_path: Path, *commands: list[str]) -> Iterator[list[subprocess.Popen[str]]]:
    """Start two processes as ``mlx.launch`` does, but in our hands; none outlives the block."""
    port = free_ports()
    hosts = tmp_path / "hosts.json"
    hosts.write_text(json.dumps([[f"127.0.0.1:{port}"], [f"127.0.0.1:{port + 1}"]]))
    started = [
        subprocess.Popen(
            [sys.executable, str(ROOT / "train_pretrain.py"), "--distributed", *command],
            env={**os.environ, "MLX_RANK": str(rank), "MLX_HOSTFILE": str(hosts)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank, command in enumerate(commands)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def wait_for(path: Path, processes: list[subprocess.Popen[str]]) -> None:
    while not path.exists():
        assert all(process.poll() is None for process in processes)
        time.sleep(0.02)


def losses(folder: Path, event: str = "step") -> list[float]:
    return [e["loss"] for e in read_log(folder / "log.jsonl") if e["event"] == event]


def train_alone(steps: int, until: int, folder: Path) -> list[float]:
    """Return the losses of the first steps of a run in this process; its last one is saved."""
    run = start_run(plan(steps), RunFolder(folder))
    found: list[float] = []

    def observe(event: Any) -> None:
        if isinstance(event, StepDone):
            found.append(event.loss)
            if event.step == until:
                run.trainer.request_stop()

    run.trainer.observers = [observe]
    run.trainer.train()
    return found


MLX_REPORT = (
    r"(\[ring\]|Sending to socket|Receiving from socket|Socket|failed with errno|made no progress"
    r"|was closed by the peer|Too many send/recv errors\. Failing pending tasks\.\.\.|\d+|\s)+"
)
"""What MLX reports of a connection; its threads write it in pieces, into each other's lines."""


def error_lines(process: subprocess.Popen[str]) -> list[str]:
    """Return what a process had to say at its end, without what MLX itself reports."""
    lines = process.communicate()[1].splitlines()
    ours = [re.sub(rf"^{MLX_REPORT}", "", line) for line in lines]
    return [line for line in ours if line]


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    """Started as a user starts them."""
    launcher = Path(sys.executable).with_name("mlx.launch")
    words = [launcher, "-n", "2", "--backend", "ring", "--starting-port", free_ports(), "--"]
    words += [sys.executable, ROOT / "train_pretrain.py", "--distributed"]
    # The launcher spins while its standard input is at its end, so it gets one that stays open.
    with subprocess.Popen(
        [*map(str, words), *options(plan(9), tmp_path / "two")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
    assert process.returncode == 0
    assert "2 processes" in output
    assert "exited with code" not in output
    expected = train_alone(9, 9, tmp_path / "one")
    assert len(expected) == 9
    np.testing.assert_allclose(losses(tmp_path / "two"), expected, rtol=0, atol=TOLERANCE)
    weights, reference = (
        load_file(tmp_path / n / "last/model.safetensors") for n in ("two", "one")
    )
    assert weights.keys() == reference.keys()
    for name, array in reference.items():
        np.testing.assert_allclose(weights[name], array, rtol=0, atol=TOLERANCE, err_msg=name)
    alone = resume_run(RunFolder(tmp_path / "one")).trainer.evaluate()
    assert losses(tmp_path / "two", "evaluation")[-1] == pytest.approx(alone.loss, abs=TOLERANCE)


@pytest.mark.skipif(os.name != "posix", reason="kill -9 and signals are POSIX")
def test_one_that_dies_ends_all_and_the_checkpoint_resumes(tmp_path: Path) -> None:
    """Kill one of two; then resume with two, and Ctrl-C; then resume with one."""
    folder = tmp_path / "run"
    command = options(plan(1000), folder)
    with ring(tmp_path, command, command) as processes:
        wait_for(folder / "step-000003", processes)
        processes[1].kill()
        lines = error_lines(processes[0])
        assert processes[0].returncode == 2
        assert len(lines) == 1
        assert lines[0].startswith("error: process 0: another process is gone")
        assert f"--resume {folder}" in lines[0]
    reached = RunFolder(folder).steps()[-1]
    again = [f"--resume={folder}"]
    with ring(tmp_path, again, again) as processes:
        wait_for(folder / f"step-{reached + 3:06d}", processes)
        processes[1].send_signal(signal.SIGINT)  # Ctrl-C reaches all; process 0 decides
        processes[0].send_signal(signal.SIGINT)
        output = processes[0].communicate()[0]
        assert [process.wait() for process in processes] == [130, 130]
        assert f"--resume {folder}" in " ".join(output.split())
    stopped = RunFolder(folder).steps()[-1]
    assert stopped >= reached + 3
    resumed = resume_run(RunFolder(folder))
    assert type(resumed.trainer.model) is mlx_backend.GPT
    resumed.trainer.observers = [lambda event: resumed.trainer.request_stop()]
    assert resumed.trainer.train().step == stopped + 1
    curve = losses(folder)
    expected = train_alone(1000, len(curve), tmp_path / "whole")
    np.testing.assert_allclose(curve, expected, rtol=0, atol=TOLERANCE)


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
def test_the_others_end_when_the_first_dies(tmp_path: Path) -> None:
    command = options(plan(1000), tmp_path / "run")
    with ring(tmp_path, command, command) as processes:
        wait_for(tmp_path / "run" / "step-000003", processes)
        processes[0].kill()
        lines = error_lines(processes[1])
        assert processes[1].returncode == 2
    assert len(lines) == 1
    assert lines[0].startswith("error: process 1: another process is gone")


def test_processes_that_disagree_all_end_with_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    commands = [[*options(plan(10), folder), f"--seed={seed}"] for seed in (1, 2)]
    with ring(tmp_path, *commands) as processes:
        lines = [error_lines(process) for process in processes]
        assert [process.returncode for process in processes] == [2, 2]
    assert lines[1] == []  # process 0 says it for all
    assert len(lines[0]) == 1
    assert "seed is 1 in process 0 but 2 in process 1" in lines[0][0]
    assert not folder.exists()


def test_a_run_that_cannot_be_prepared_ends_the_others(tmp_path: Path) -> None:
    command = ["--corpus=nowhere.txt", f"--out={tmp_path / 'run'}"]
    with ring(tmp_path, command, command) as processes:
        lines = [error_lines(process) for process in processes]
        assert [process.returncode for process in processes] == [2, 2]
    assert lines[1] == []
    assert len(lines[0]) == 1
    assert "nowhere.txt" in lines[0][0]
