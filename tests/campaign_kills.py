"""Kill commands at random moments, over and over, and count what is lost.

    uv run python tests/campaign_kills.py --kills 1000 [--seed 0]

Each attempt starts a command in a folder of its own, kills it at a random moment (the process, or
with it its workers; at once or politely), and then does what a user would: the command that goes on
where there is a checkpoint, the same command again where there is none. The last one is let through
to its end, and its results are compared with those of one that nobody disturbed.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from run_commands import TINY, write_text
from warm_commands import Commands, members

TRAIN = [
    "train_pretrain.py",
    *TINY,
    *("--corpus=text.txt", "--out=run", "--steps=60", "--workers=2", "--dropout=0.1"),
    *("--eval-every=10", "--checkpoint-every=7"),
]
TOKENIZER = ["train-tokenizer", "text.txt", "--vocab-size=400", "--out=learned"]
ENCODE = ["encode-corpus", "text.txt", "--tokenizer=known/tokenizer.json", "--out=encoded"]
RESULTS = {
    "train": "run/step-000060/*.safetensors",
    "overwrite": "run/step-000060/*.safetensors",
    "tokenizer": "learned/*",
    "encode": "encoded/*",
}


def next_command(kind: str, folder: Path) -> list[str]:
    """Return what a user does next."""
    if kind in ("train", "overwrite"):
        if any((folder / "run").glob("step-*")):
            return ["train_pretrain.py", "--resume=run"]
        return [*TRAIN, "--overwrite"] if kind == "overwrite" else TRAIN
    again = {"tokenizer": TOKENIZER, "encode": ENCODE}[kind]
    out = folder / again[-1].partition("=")[2]
    return [*again, "--overwrite"] if out.exists() and any(out.iterdir()) else again


def result(kind: str, folder: Path) -> dict[str, bytes]:
    found = folder.glob(RESULTS[kind])
    return {path.name: path.read_bytes() for path in found if not path.name.startswith(".")}


def kill(pid: int, how: str) -> None:
    number = signal.SIGTERM if how == "politely" else signal.SIGKILL
    try:
        if how == "alone":
            os.kill(pid, number)
        else:
            os.killpg(pid, number)
    except ProcessLookupError:
        pass


class Campaign:
    def __init__(self, commands: Commands, work: Path, rng: random.Random) -> None:
        self.commands, self.work, self.rng = commands, work, rng
        self.counts: collections.Counter[str] = collections.Counter()
        self.expected: dict[str, dict[str, bytes]] = {}
        self.seconds: dict[str, float] = {}
        self.template = work / "template"
        self.template.mkdir()
        write_text(self.template / "text.txt", lines=3000)
        first = ["train-tokenizer", "text.txt", "--vocab-size=300", "--out=known"]
        assert self.through(self.template, first) == 0
        self.measure("train", TRAIN)
        self.measure("tokenizer", TOKENIZER)
        self.measure("encode", ENCODE)
        self.old = work / "train/run"
        self.expected["overwrite"], self.seconds["overwrite"] = (
            self.expected["train"],
            self.seconds["train"],
        )

    def measure(self, kind: str, words: list[str]) -> None:
        folder = self.work / kind
        shutil.copytree(self.template, folder)
        started = time.monotonic()
        assert self.through(folder, words) == 0, (folder / "errors").read_text()
        self.seconds[kind] = time.monotonic() - started
        self.expected[kind] = result(kind, folder)
        assert self.expected[kind]

    def through(self, folder: Path, words: list[str]) -> int:
        return self.commands.wait(self.commands.start(folder, *words))

    def attempt(self, kind: str, folder: Path) -> None:
        shutil.copytree(self.template, folder)
        words = {"tokenizer": TOKENIZER, "encode": ENCODE}.get(kind, TRAIN)
        if kind == "overwrite":
            shutil.copytree(self.old, folder / "run", symlinks=True)
            words = [*TRAIN, "--overwrite"]
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            pid = self.commands.start(folder, *words)
            time.sleep(self.rng.random() * self.seconds[kind])
            kill(pid, self.rng.choice(("alone", "group", "politely")))
            self.commands.wait(pid)
            self.counts["kills"] += 1
            words = next_command(kind, folder)
        code = self.through(folder, words)
        self.counts["attempts"] += 1
        if code != 0:
            self.counts["need a hand"] += 1
            self.tell("needs a hand", kind, words, folder)
        elif result(kind, folder) != self.expected[kind]:
            self.counts["other bytes"] += 1
            self.tell("other bytes", kind, words, folder)
        left = [p for p in folder.rglob(".*") if p.name not in (".", "..")]
        self.counts[f"leftovers of {kind}"] += len(left)
        self.counts["orphans"] += bool(members(pid))

    def tell(self, what: str, kind: str, words: list[str], folder: Path) -> None:
        errors = (folder / "errors").read_text()[-300:]
        sys.stdout.write(f"{what}: {kind}, {' '.join(words)[:80]}: {errors}\n")


def main(write: Callable[[str], object]) -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name, Commands() as commands:
        campaign = Campaign(commands, Path(name), random.Random(chosen.seed))
        number = 0
        while campaign.counts["kills"] < chosen.kills:
            folder = Path(name) / f"attempt-{number}"
            campaign.attempt(list(RESULTS)[number % len(RESULTS)], folder)
            shutil.rmtree(folder)
            number += 1
        kinds = [f"leftovers of {kind}" for kind in RESULTS]
        for what in ("attempts", "kills", "need a hand", "other bytes", "orphans", *kinds):
            write(f"{what:22} {campaign.counts[what]}\n")


if __name__ == "__main__":
    main(sys.stdout.write)
