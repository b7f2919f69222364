"""Tiny runs in processes of their own, as a shell would start them."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TINY = [
    *("--size=tiny", "--vocab-size=300", "--batch-size=2", "--n-layers=1", "--d-model=16"),
    *("--n-heads=2", "--context-length=16", "--backend=numpy", "--workers=1"),
    *("--eval-every=0", "--sample-every=0", "--eval-windows=2"),
]
WORDS = [
    "the",
    "fox",
    "owl",
    "went",
    "home",
    "and",
    "sang",
    "near",
    "a",
    "river",
    "with",
    "old",
    "green",
    "bells",
    "at",
    "night",
]


def write_text(path: Path, lines: int = 150, seed: int = 0) -> Path:
    """Write sentences of a few words, always the same."""
    rng = random.Random(seed)
    path.write_text("".join(" ".join(rng.choices(WORDS, k=9)) + ".\n" for _ in range(lines)))
    return path


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / script), *map(str, arguments)]


def run(
    folder: Path, script: str, *arguments: object, expect: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run a script in a folder to its end; check its exit code unless ``expect`` is None."""
    done = subprocess.run(
        command(script, *arguments),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "COLUMNS": "200"},
    )
    if expect is not None:
        assert done.returncode == expect, done.stdout + done.stderr
    return done


def train(
    folder: Path, *arguments: object, expect: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """Run ``train_pretrain.py`` on a text that is made where there is none."""
    if not (folder / "text.txt").exists():
        write_text(folder / "text.txt")
    return run(folder, "train_pretrain.py", "--corpus=text.txt", *TINY, *arguments, expect=expect)


def tree(folder: Path) -> dict[str, bytes | str]:
    """Return everything below a folder: bytes of files, targets of links, "" for folders."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = path.read_bytes() if path.is_file() else ""
    return found
