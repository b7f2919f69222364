"""Every command and every line of Python in the README runs, in order, as a reader would run it.

Options appended here make the work small; the last occurrence of an option counts.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALLER = {
    "run_demo.py quick": ["--steps", "12"],
    "run_demo.py full": ["--steps", "3", "--finetune-steps", "2", "--questions", "4"],
    "run_demo.py ask": [],
    "run_demo.py eval": ["--questions", "4"],
    "run_demo.py merge": [],
    "run_demo.py finetune-data": ["--stories", "20"],
    "train_finetune_full.py": ["--steps", "2", "--stories", "20"],
    "train_finetune_lora.py": ["--steps", "2", "--stories", "20"],
    "run_demo.py generate": ["--max-tokens", "5"],
    "run_demo.py gradcheck": ["--family", "llama", "--n-layers", "1"],
    "run_demo.py presets": [],
    "run_demo.py profile": ["--size", "tiny", "--seconds", "1"],
    "run_demo.py tokenize": [],
    "run_demo.py train-tokenizer": ["--max-bytes", "60000", "--vocab-size", "300"],
    "run_demo.py encode-corpus": ["--max-bytes", "60000"],
    "run_demo.py diff": [],
    "run_demo.py explore": ["--no-open"],
    "run_demo.py mac-accel": ["--backend", "numpy", "--steps", "3", "--corpus", "README.md"],
    "run_demo.py": [],
    "train_pretrain.py --resume": [],
    "train_pretrain.py": ["--steps", "3", "--vocab-size", "300"],
    "train_pretrain.py --from": ["--steps", "3"],
}
LEFT_OUT = {"pytest"}  # that is where we are
BUILDING = {"train-tokenizer", "encode-corpus", "--out", "--resume"}
"""Words of the commands that use what others made, or make what others use."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("bash") for line in block.splitlines() if line]
    found = [shlex.split(line, comments=True) for line in lines]
    assert all(words[:2] == ["uv", "run"] for words in found)
    return [words[2:] for words in found if words[2] not in LEFT_OUT]


def smaller(words: list[str]) -> list[str]:
    """Return a command with what makes it small."""
    keys = [key for key in SMALLER if set(key.split()) <= set(words)]
    return [*words, *SMALLER[max(keys, key=len)]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reader")
    put_texts(folder)
    return folder


def put_texts(folder: Path) -> None:
    """Write what the README's commands train on, but less of it."""
    for name in ("README.md", "src/text.md", "docs/text.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(README * 3, encoding="utf-8")


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


def test_every_command_of_the_readme_works(folder):
    assert len(commands()) >= 8
    for words in commands():
        program, *options = smaller(words)
        done = run([sys.executable, str(ROOT / program), *options], folder)
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    assert (folder / "runs" / "quick" / "loss.png").exists()
    assert (folder / "runs" / "more" / "last" / "model.safetensors").exists()


@pytest.mark.skipif(not os.environ.get("CAMPAIGNS"), reason="by hand, with CAMPAIGNS=1")
@pytest.mark.parametrize("order", ["backwards", "shuffled", "shuffled again"])
def test_the_commands_in_another_order_break_nothing(order, folder, tmp_path):
    """In a new folder some cannot work yet, and say so; in README's order again, all are there."""
    put_texts(tmp_path)
    building = [words for words in commands() if BUILDING & set(words)]
    assert len(building) == 5
    other = building[::-1]
    if order != "backwards":
        random.Random(order).shuffle(other)
    for words in (*other, *building):
        program, *options = smaller(words)
        done = run([sys.executable, str(ROOT / program), *options], tmp_path)
        assert done.returncode in (0, 2), f"{words}\n{done.stdout}\n{done.stderr}"
        errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert len(errors) == (done.returncode == 2), done.stderr
        assert "Traceback" not in done.stderr
    for made in ("runs/mine", "runs/more", "trained-tokenizers/stories"):
        assert list((tmp_path / made).rglob("tokenizer.json")), made
    assert (tmp_path / "tokens" / "stories-train.npy").exists()


def test_the_python_of_the_readme_runs(folder):
    if not (folder / "runs" / "quick").exists():
        pytest.skip("needs the run of the commands before")
    for block in blocks("python"):
        done = run([sys.executable, "-c", block], folder)
        assert done.returncode == 0, done.stderr
        assert "(" in done.stdout


def test_every_path_of_the_file_tree_exists():
    tree = blocks("text")[-1]
    names = re.findall(r"[\w./]+\.py\b|[\w/]+/(?=\s|$)", tree)
    assert len(names) > 25
    known = {path.name for path in ROOT.rglob("*.py")} | {"src/llm_explainer/"}
    known |= {f"{path.name}/" for path in ROOT.iterdir() if path.is_dir()}
    known |= {f"{path.name}/" for path in (ROOT / "src").rglob("*") if path.is_dir()}
    assert set(names) <= known


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert target.startswith("https://") or (ROOT / unquote(target)).exists(), target


def test_help_is_quick_because_it_loads_nothing_heavy(folder):
    code = (
        "import runpy, sys; sys.argv = ['run_demo.py', '--help']\n"
        f"try: runpy.run_path({str(ROOT / 'run_demo.py')!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'mlx', 'matplotlib', 'torch', 'regex', 'safetensors'}\n"
        "print('loaded:', sorted(heavy & set(sys.modules)))"
    )
    assert "loaded: []" in run([sys.executable, "-c", code], folder).stdout
