"""The wheel and the source distribution in empty environments: by hand, with CAMPAIGNS=1.

They take packages from an index. Each extra is tried alone, and an installation without a compiler.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from llm_explainer.program import COMMANDS

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.skipif(not os.environ.get("CAMPAIGNS"), reason="by hand, with CAMPAIGNS=1"),
    pytest.mark.skipif(shutil.which("uv") is None, reason="uv is not installed"),
]
NEEDS = {
    "chat": "from llm_explainer.tokenizer.chat_template import ChatTemplate as T; T().render([])",
    "gguf": "from llm_explainer.checkpoint.gguf.writing import _library; _library()",
    "serve": "from llm_explainer.commands.serve import serve; serve('nothing')",
    "site": "from llm_explainer.tutorial.site import make_markdown; make_markdown()",
}
"""What needs an extra's packages."""


def run(*words: object, cwd: Path, code: int = 0, **more: str) -> str:
    # Not those of ``uv run``, which started this test: its user types no such thing.
    left_out = {"VIRTUAL_ENV", "UV_RUN_RECURSION_DEPTH"}
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**environment, "COLUMNS": "200", **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with both distributions."""
    folder = tmp_path_factory.mktemp("built")
    run("uv", "build", "--out-dir", folder, cwd=ROOT)
    return folder


def install(what: Path | str, folder: Path, **environment: str) -> Path:
    """Install into an empty environment; return the folder of its commands."""
    run("uv", "venv", "-q", folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run("uv", "pip", "install", "-q", "--python", python, what, cwd=folder, **environment)
    return python.parent


def test_both_have_what_belongs_in_them(built):
    (sdist,), (wheel,) = built.glob("*.tar.gz"), built.glob("*.whl")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = set(archive.namelist())
    tracked = run("git", "ls-files", cwd=ROOT).splitlines()
    left_out = {".gitignore", ".python-version"}
    assert {name for name in tracked if not name.startswith(".")} - left_out <= names
    package = {
        name.removeprefix("src/") for name in tracked if name.startswith("src/llm_explainer/")
    }
    assert package <= in_wheel
    assert not [name for name in names | in_wheel if "__pycache__" in name or "/build/" in name]


@pytest.mark.parametrize("extra", NEEDS)
def test_an_extra_brings_what_its_commands_need(extra, built, tmp_path):
    (wheel,) = built.glob("*.whl")
    python = install(wheel, tmp_path) / "python"
    code = f"try: import sys; sys.argv = ['llm-explainer']; {NEEDS[extra]}\n"
    code += "except Exception as error: print(type(error).__name__, error)"
    hint = f"pip install 'llm-explainer[{extra}]'"
    assert hint in run(python, "-c", code, cwd=tmp_path)
    run("uv", "pip", "install", "-q", "--python", python, f"{wheel}[{extra}]", cwd=tmp_path)
    said = run(python, "-c", code, cwd=tmp_path)
    assert hint not in said
    assert "Import" not in said


def test_the_wheel_gives_every_command(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    folder = install(wheel, tmp_path)
    for begin in ([folder / "llm-explainer"], [folder / "python", "-m", "llm_explainer"]):
        listed = run(*begin, cwd=tmp_path)
        for command in COMMANDS:
            assert re.search(rf"│ {command.name} ", listed), command.name
    for command in COMMANDS:
        shown = run(folder / "llm-explainer", command.name, "--help", cwd=tmp_path)
        assert f"Usage: llm-explainer {command.name} " in shown
        assert not re.search(r"uv run|run_demo\.py|train_\w+\.py", shown)
    said = run(folder / "llm-explainer", "learn", cwd=tmp_path, code=2)
    assert said.count("\n") == 1
    assert "the Tutorial is in the project's sources" in said
    text = tmp_path / "text.txt"
    text.write_text("Once there was a shy fox. " * 400)
    words = ["--corpus=text.txt", "--size=tiny", "--vocab-size=300", "--steps=2", "--out=run"]
    small = ["--backend=numpy", "--n-layers=1", "--d-model=16", "--n-heads=2", "--batch-size=2"]
    said = run(folder / "llm-explainer", "pretrain", *words, *small, cwd=tmp_path)
    assert "llm-explainer generate run" in said
    run(folder / "llm-explainer", "generate", "run", "--prompt=Once", cwd=tmp_path)


@pytest.mark.parametrize("compiler", [True, False])
def test_the_sources_install_with_and_without_a_compiler(compiler, built, tmp_path):
    (sdist,) = built.glob("*.tar.gz")
    without = {"CC": "/bin/false", "CXX": "/bin/false", "UV_NO_CACHE": "1"}
    folder = install(sdist, tmp_path, **({} if compiler else without))
    code = "from llm_explainer.tokenizer import core; print(core.__file__)"
    place = Path(run(folder / "python", "-c", code, cwd=tmp_path).strip()).parent
    assert bool(list(place.glob("*.so"))) == compiler
    said = run(folder / "llm-explainer", "tokenize", "Once", "--tokenizer=bytes", cwd=tmp_path)
    assert "Once"[0] in said
