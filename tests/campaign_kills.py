"""Kill commands at random moments, over and over, and count what is lost.

    uv run python tests/campaign_kills.py --kills 1000 [--seed 0] [--kinds save/encode]

Each attempt starts a command in a folder of its own, kills it at a random moment (the process, one
of its workers, or all of them; at once or politely), and then does what a user would: the command
that goes on where there is a checkpoint, the same command again where there is none. The last one
is let through to its end, and its results are compared with those of one that nobody disturbed.
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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from run_commands import TINY, write_text
from warm_commands import Commands, members

TRAIN = [
    "train_pretrain.py",
    *TINY,
    *("--corpus=text.txt", "--out=run", "--steps=40", "--workers=2", "--dropout=0.1"),
    *("--eval-every=10", "--checkpoint-every=7"),
]
MLX = ["--backend=mlx"]
OVERWRITE = ["--overwrite"]
RESUME = ["train_pretrain.py", "--resume=run"]
TOKENIZER = ["train-tokenizer", "text.txt", "--vocab-size=400", "--out=learned"]
ENCODE = ["encode-corpus", "text.txt", "--tokenizer=known/tokenizer.json", "--out=encoded"]
HOWS = ("the process", "all", "a worker", "politely")


@dataclass(frozen=True)
class Kind:
    """What is killed: a command, and what a user finds there before it."""

    words: list[str]
    results: str  # where they are, below the folder
    finds: str = ""  # "half": a run of another start of the command, which was stopped; or "whole"

    @property
    def trains(self) -> bool:
        return self.words[0] == "train_pretrain.py"


KINDS = {
    "train": Kind(TRAIN, "run/step-000040/*"),
    "train, mlx": Kind([*TRAIN, *MLX], "run/step-000040/*"),
    "prepare": Kind([*TRAIN, "--steps=1", "--vocab-size=1000"], "run/step-000001/*"),
    "save": Kind([*TRAIN, "--steps=20", "--checkpoint-every=1"], "run/step-000020/*"),
    "save, mlx": Kind([*TRAIN, "--steps=20", "--checkpoint-every=1", *MLX], "run/step-000020/*"),
    "resume": Kind(TRAIN, "run/step-000040/*", "half"),
    "resume, mlx": Kind([*TRAIN, *MLX], "run/step-000040/*", "half"),
    "overwrite": Kind(TRAIN, "run/step-000040/*", "whole"),
    "tokenizer": Kind(TOKENIZER, "learned/*"),
    "tokenizer again": Kind(TOKENIZER, "learned/*", "whole"),
    "encode": Kind(ENCODE, "encoded/*"),
    "encode again": Kind(ENCODE, "encoded/*", "whole"),
}


def next_command(kind: Kind, folder: Path) -> list[str]:
    """Return what a user does next."""
    if kind.trains:
        if any((folder / "run").glob("step-*")):
            return RESUME
        return [*kind.words, *OVERWRITE] if kind.finds == "whole" else kind.words
    out = folder / kind.words[-1].partition("=")[2]
    return [*kind.words, *OVERWRITE] if out.exists() and any(out.iterdir()) else kind.words


def result(kind: Kind, folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob(kind.results)}


def kill(pid: int, how: str) -> None:
    number = signal.SIGTERM if how == "politely" else signal.SIGKILL
    try:
        if how == "the process":
            os.kill(pid, number)
        elif how == "a worker":
            os.kill(max(members(pid), default=pid), number)
        else:
            os.killpg(pid, number)
    except ProcessLookupError:
        pass


class Campaign:
    """Attempts of several kinds, and what came of them."""

    def __init__(
        self, commands: Commands, work: Path, kinds: Sequence[str], rng: random.Random
    ) -> None:
        self.commands, self.work, self.kinds, self.rng = commands, work, kinds, rng
        self.counts: collections.Counter[tuple[str, str]] = collections.Counter()
        self.problems: list[str] = []
        self.expected: dict[str, dict[str, bytes]] = {}
        self.seconds: dict[str, float] = {}
        self.template = work / "template"
        self.template.mkdir()
        write_text(self.template / "text.txt", lines=1000)
        first = ["train-tokenizer", "text.txt", "--vocab-size=300", "--out=known"]
        assert self.through(self.template, first) == 0
        for name in kinds:
            self.measure(name)

    def measure(self, name: str) -> None:
        """Do what nobody disturbs: how long it takes, and what comes of it."""
        kind, folder = KINDS[name], self.work / name
        shutil.copytree(self.template, folder)
        started = time.monotonic()
        assert self.through(folder, kind.words) == 0, (folder / "errors").read_text()
        self.seconds[name] = time.monotonic() - started
        self.expected[name] = result(kind, folder)
        assert self.expected[name]
        if kind.finds == "half":
            for step in sorted((folder / "run").glob("step-*"))[1:]:
                shutil.rmtree(step)

    def through(self, folder: Path, words: list[str]) -> int:
        return self.commands.wait(self.commands.start(folder, *words))

    def attempt(self, name: str, folder: Path) -> None:
        """Kill a command once or more often, then let the last one through."""
        kind = KINDS[name]
        shutil.copytree(self.work / name if kind.finds else self.template, folder, symlinks=True)
        words = next_command(kind, folder) if kind.finds == "half" else kind.words
        if kind.finds == "whole":
            words = [*kind.words, *OVERWRITE]
        for _ in range(self.rng.choice((1, 1, 2, 3))):
            pid = self.commands.start(folder, *words)
            time.sleep(self.rng.random() * self.seconds[name])
            kill(pid, self.rng.choice(HOWS))
            self.commands.wait(pid)
            self.counts[name, "kills"] += 1
            self.counts[name, "orphans"] += self.has_orphans(pid)
            words = next_command(kind, folder)
        code = self.through(folder, words)
        self.counts[name, "attempts"] += 1
        left = [str(path.relative_to(folder)) for path in folder.rglob(".*")]
        if code != 0:
            errors = (folder / "errors").read_text()[-300:]
            self.tell(name, "need a hand", f"{' '.join(words)[:80]}: {errors}")
        elif result(kind, folder) != self.expected[name]:
            self.tell(name, "other bytes", " ".join(words)[:80])
        if left:
            self.tell(name, "leave something", ", ".join(left))

    def has_orphans(self, pid: int) -> bool:
        """Whether somebody outlives a command by more than the moment that it takes to notice."""
        deadline = time.monotonic() + 5
        while members(pid) and time.monotonic() < deadline:
            time.sleep(0.01)
        return bool(members(pid))

    def tell(self, name: str, what: str, more: str) -> None:
        self.counts[name, what] += 1
        self.problems.append(f"{name} {what}: {more}")

    def run(self, n_kills: int) -> None:
        """Go through the kinds in turn until so many commands were killed."""
        number = 0
        while sum(self.counts[name, "kills"] for name in self.kinds) < n_kills:
            folder = self.work / f"attempt-{number}"
            self.attempt(self.kinds[number % len(self.kinds)], folder)
            shutil.rmtree(folder)
            number += 1


WHAT = ("attempts", "kills", "need a hand", "other bytes", "orphans", "leave something")


def main(write: Callable[[str], object]) -> None:
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--kinds", default="/".join(KINDS), help="with / between them")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name, Commands() as commands:
        rng = random.Random(chosen.seed)
        campaign = Campaign(commands, Path(name), chosen.kinds.split("/"), rng)
        campaign.run(chosen.kills)
    for problem in campaign.problems:
        write(problem + "\n")
    write(f"{'':18}" + "".join(f"{what:>17}" for what in WHAT) + "\n")
    for kind in campaign.kinds:
        counts = [campaign.counts[kind, what] for what in WHAT]
        write(f"{kind:18}" + "".join(f"{count:17}" for count in counts) + "\n")
    totals = [sum(campaign.counts[kind, what] for kind in campaign.kinds) for what in WHAT]
    write(f"{'all':18}" + "".join(f"{count:17}" for count in totals) + "\n")


if __name__ == "__main__":
    main(sys.stdout.write)
