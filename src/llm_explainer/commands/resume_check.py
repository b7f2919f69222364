"""Runs that are killed and resumed beside runs that are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from llm_explainer.data.stories.questions import STORY_CONTEXT
from llm_explainer.errors import TrainingError
from llm_explainer.run_folders import MILESTONES, milestones_of
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.log import read_log

BASE = "pre-training"
KINDS: dict[str, tuple[str, list[str]]] = {
    BASE: ("pretrain", []),
    "full fine-tuning": ("finetune-full", []),
    "LoRA": ("finetune-lora", ["--rank=4"]),
    "DoRA": ("finetune-lora", ["--rank=4", "--dora"]),
}
"""Each kind's command, and what is asked of it."""

_PRETRAINING = [
    *("--corpus=stories", "--max-bytes=300000", "--windows=documents", "--vocab-size=1000"),
    *("--family=llama", "--size=tiny", f"--context-length={STORY_CONTEXT}"),
]
_FINETUNING = ["--stories=200", "--eval-windows=8"]
_MOST_S = 600.0  # that one run may take on a busy machine


@dataclass(frozen=True)
class Verdict:
    """How a kind of run fared."""

    killed_after: list[int]  # steps of which the log knew
    differing: list[str]  # files whose bytes are not those of the undisturbed run


def check_kind(
    kind: str,
    folder: Path,
    steps: int,
    kills: int,
    seed: int,
    backend: str,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> Verdict:
    """Train a run of a kind twice, one of them killed and resumed; compare what they leave.

    Args:
        kind: one of ``KINDS``; fine-tuning starts from the undisturbed pre-training, which is to
            be checked before it
        folder: where the runs go
        steps: of a run
        kills: of the one
        seed: of the steps after which it is killed
        backend: its name
        report: told how many of its processes have ended, of how many

    Raises:
        TrainingError: a run could not be started, or resumed.
    """
    name = kind.replace(" ", "-")
    straight, killed = folder / name, folder / f"{name}-killed"
    command, options = KINDS[kind]
    options = [*options, f"--backend={backend}", f"--steps={steps}", "--checkpoint-every=5"]
    options += ["--keep-milestones=4"]
    options += [f"--eval-every={max(1, steps // 4)}", "--sample-every=0"]
    options += _PRETRAINING if kind == BASE else [*_FINETUNING, f"--from={folder / BASE}"]
    report(0, kills + 2)
    _finish(_start(command, [*options, f"--out={straight}"]))
    rng = Random(f"{seed} {kind}")
    anew = [*options, f"--out={killed}"]
    process = _start(command, anew)
    reached: list[int] = []
    moments = sorted(rng.choices(range(1, max(2, steps * 3 // 4)), k=kills))
    for n_ended, step in enumerate(moments, 1):
        report(n_ended, kills + 2)
        # One that was killed before is to come further: its start is no moment of training.
        further = max(step, _last_step(killed) + 1)
        reached.append(_kill_after(process, killed, further, rng.random() * 0.1))
        # Killed before it had a checkpoint, it has nothing to go on with.
        process = _start(command, [f"--resume={killed}"] if RunFolder(killed).steps() else anew)
    report(kills + 1, kills + 2)
    _finish(process)
    report(kills + 2, kills + 2)
    return Verdict(reached, differing_files(straight, killed))


def _start(command: str, options: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "llm_explainer", command, *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "200"},
    )


def _finish(process: subprocess.Popen[bytes]) -> None:
    try:
        _, said = process.communicate(timeout=_MOST_S)
    except BaseException:  # Ctrl-C too
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        *_, last = ["it said nothing", *said.decode(errors="replace").strip().splitlines()]
        raise TrainingError(f"a run ended with exit code {process.returncode}: {last}")


def _kill_after(process: subprocess.Popen[bytes], run: Path, step: int, delay_s: float) -> int:
    """Kill a run some time after it logged a step; return the last one that it logged."""
    deadline = time.monotonic() + _MOST_S
    while process.poll() is None and time.monotonic() < deadline and _last_step(run) < step:
        time.sleep(0.01)
    time.sleep(delay_s)
    process.kill()
    process.communicate()
    return _last_step(run)


def _last_step(run: Path) -> int:
    return max((event["step"] for event in read_log(RunFolder(run).log_file)), default=0)


def differing_files(straight: Path, killed: Path) -> list[str]:
    """Return the names of what differs in the last checkpoints, the milestones and the logs."""
    one, other = (RunFolder(path).newest() for path in (straight, killed))
    names = sorted({file.name for path in (one, other) for file in path.iterdir()})
    found = [name for name in names if _bytes(one / name) != _bytes(other / name)]
    kept = [_milestones(path) for path in (straight, killed)]
    if kept[0] != kept[1]:
        found.append(MILESTONES)
    if one.name != other.name:
        found.append(f"{one.name} and {other.name}")
    if _history(straight) != _history(killed):
        found.append("log.jsonl")
    return found


def _milestones(run: Path) -> dict[int, dict[str, bytes]]:
    """Return all files of a run's milestones."""
    return {
        step: {file.name: file.read_bytes() for file in path.iterdir()}
        for step, path in milestones_of(run)
    }


def _bytes(file: Path) -> bytes | None:
    return file.read_bytes() if file.exists() else None


def _history(run: Path) -> list[str]:
    """Return the log without what time and memory it took."""
    events: list[dict[str, Any]] = read_log(RunFolder(run).log_file)
    ignored = {"seconds", "peak_memory"}
    return [json.dumps({k: v for k, v in e.items() if k not in ignored}) for e in events]
