"""A command leaves nothing behind but its own results, its cache and its temporary files' absence.

HOME, TMPDIR and the working folder are compared before and after each command. With CAMPAIGNS=1 in
the environment all commands take part, without it the first few.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from run_commands import TINY, command, tree, write_text

MINE = {
    "home": (".bashrc", ".config/mine.json", "notes.txt"),
    "tmp": ("pytest-mine", ".mine.tmp"),
    "work": (
        "README.md",
        ".git/HEAD",
        ".env",
        "runs/notes.txt",
        "trained-tokenizers/mine.txt",
        "data/x",
    ),
}
# Every command, and where its results may be, below the working folder.
COMMANDS = [
    (["train_pretrain.py", *TINY, "--corpus=text.txt", "--steps=2"], "runs/pretrain"),
    (["train_pretrain.py", *TINY, "--corpus=text.txt", "--steps=2", "--out=a"], "a"),
    (["train_pretrain.py", "--resume=a", "--steps=3"], "a"),
    (["train_pretrain.py", *TINY, "--corpus=texd.txt", "--out=a", "--overwrite"], None),
    (["train_pretrain.py", *TINY, "--corpus=text.txt", "--steps=2", "--out=a", "--overwrite"], "a"),
    (["train_pretrain.py", "--from=a", "--corpus=text.txt", "--steps=1", "--out=b"], "b"),
    (["run_demo.py", "quick", "--steps=2", "--backend=numpy"], "runs/quick"),
    (["run_demo.py", "generate", "a", "--prompt=the", "--max-tokens=2"], None),
    (["run_demo.py", "tokenize", "the", "--tokenizer=a"], None),
    (["run_demo.py", "train-tokenizer", "text.txt", "--vocab-size=300"], "trained-tokenizers/text"),
    (["run_demo.py", "train-tokenizer", "texd.txt", "--out=deep/er"], None),
    (["run_demo.py", "encode-corpus", "text.txt", "--tokenizer=a"], "tokens"),
    (["run_demo.py", "encode-corpus", "texd.txt", "--tokenizer=a", "--out=deep/er"], None),
    (["run_demo.py", "diff", "--checkpoint=a", "--batch-size=1", "--length=8"], None),
    (["run_demo.py", "profile", "--size=tiny", "--seconds=0.2", "--batch-size=2"], "runs/profile"),
    (["run_demo.py", "presets"], None),
    (["run_demo.py", "gradcheck", "--family=llama", "--n-layers=1"], None),
    (
        ["run_demo.py", "mac-accel", "--backend=numpy", "--steps=2", "--corpus=text.txt"],
        "runs/mac-accel",
    ),
]
CACHES = (".cache/", ".config/matplotlib/", ".local/share/llm-explainer/", "Library/Caches/")
"""Where programs may keep what they can make again, below HOME."""
COMPILED = "tmp/mlx/"
"""Where MLX keeps the kernels that it compiles."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sandbox")
    for place, names in MINE.items():
        for name in names:
            (folder / place / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / place / name).write_text(f"mine: {name}")
    write_text(folder / "work/text.txt", lines=600)
    return folder


def test_commands_touch_nothing_but_their_own(sandbox: Path) -> None:
    places = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "home/.cache"}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("XDG_")},
        **{name: str(sandbox / place) for name, place in places.items()},
    }
    for words, results in COMMANDS if os.environ.get("CAMPAIGNS") else COMMANDS[:4]:
        before = tree(sandbox)
        done = subprocess.run(
            command(*words),
            cwd=sandbox / "work",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
        assert done.returncode == (2 if "texd.txt" in " ".join(words) else 0), done.stderr
        after = tree(sandbox)
        changed = {
            name for name in before.keys() | after.keys() if before.get(name) != after.get(name)
        }
        allowed = [f"home/{cache}" for cache in CACHES]
        if results:
            allowed.append(f"work/{results}/")
        if "diff" in words:
            allowed.append(COMPILED)
        others = [name for name in changed if not f"{name}/".startswith(tuple(allowed))]
        folders = {name.rstrip("/") for place in allowed for name in parents(place)}
        assert not [name for name in others if name not in folders], words


def parents(place: str) -> list[str]:
    parts = place.strip("/").split("/")
    return ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
