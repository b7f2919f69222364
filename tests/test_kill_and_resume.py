"""What is killed at any moment and gone on with ends with the bytes of what was not.

``KILLS=100 uv run pytest tests/test_kill_and_resume.py`` tries a hundred moments instead of a few;
``campaign_kills.py`` all kinds of work.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from campaign_kills import Campaign

from llm_explainer.training.runs.log import read_log

ROOT = Path(__file__).parents[1]
KILLS = int(os.environ.get("KILLS", "20"))
SLOW_KILLS = max(1, KILLS // 20)
"""Those of commands that are started as people start them."""
OPTIONS = [
    "--corpus=stories",
    "--max-bytes=100000",
    "--vocab-size=300",
    "--size=tiny",
    "--steps=80",
    "--batch-size=4",
    "--dropout=0.1",
    "--eval-every=10",
    "--eval-windows=8",
    "--sample-every=0",
    "--checkpoint-every=5",
    "--workers=2",
]


def command(*options: str) -> list[str]:
    return [sys.executable, str(ROOT / "train_pretrain.py"), *options]


def start(folder: Path) -> list[str]:
    return command(*OPTIONS, f"--out={folder}", "--overwrite")


def weights(folder: Path) -> tuple[bytes, bytes]:
    last = folder / "step-000080"
    return (last / "model.safetensors").read_bytes(), (last / "optimizer.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory) -> tuple[Path, float]:
    """A run that nobody disturbs, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    started = time.monotonic()
    subprocess.run(start(folder), check=True, capture_output=True)
    return folder, time.monotonic() - started


@pytest.mark.skipif(sys.platform != "linux", reason="forks and /proc")
def test_kills_of_all_kinds_lose_nothing(commands, tmp_path):
    kinds = ("train", "save", "overwrite", "tokenizer again", "encode again")
    campaign = Campaign(commands, tmp_path, kinds, random.Random(0))
    campaign.run(KILLS)
    assert campaign.problems == []
    assert not any(campaign.counts[kind, "orphans"] for kind in kinds)


@pytest.mark.skipif(os.name != "posix", reason="kill -9 is POSIX")
@pytest.mark.parametrize("attempt", range(SLOW_KILLS))
def test_kill_9_loses_nothing(attempt, whole_run, tmp_path):
    whole, seconds = whole_run
    folder = tmp_path / "run"
    process = subprocess.Popen(start(folder), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    # Spread over the whole run, its preparation and its end included.
    moment = random.Random(attempt).uniform(attempt, attempt + 1) / SLOW_KILLS
    time.sleep(moment * seconds)
    process.send_signal(signal.SIGKILL)
    process.wait()
    has_checkpoint = any(folder.glob("step-*"))
    again = command(f"--resume={folder}") if has_checkpoint else start(folder)
    subprocess.run(again, check=True, capture_output=True)
    assert weights(folder) == weights(whole)
    assert not list(folder.glob(".*")), "what the kill left half-written is still there"
    steps = [int(path.name[5:]) for path in folder.glob("step-*")]
    assert len(steps) <= 3, "the newest two and the best are kept"


def last_logged_step(folder):
    events = read_log(folder / "log.jsonl")
    return events[-1]["step"] if events else 0


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(tmp_path):
    folder = tmp_path / "run"
    options = [*OPTIONS, f"--out={folder}", "--steps=1000000", "--checkpoint-every=0"]
    process = subprocess.Popen(command(*options), stdout=subprocess.PIPE, text=True)
    while last_logged_step(folder) <= 10:  # the first evaluation, whose checkpoint is the best
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    steps = sorted(folder.glob("step-*"))
    assert int(steps[-1].name[5:]) > 10
    words = output.split()
    assert str(steps[-1]) in words
    assert f"train_pretrain.py --resume {folder}" in " ".join(words)
    assert (folder / "loss.png").exists()
