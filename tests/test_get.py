"""Fetching models: a fake of the Hub's client stands in for the network."""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_line, command_runner
from small_models import SMALL, random_model

from llm_explainer import BPETokenizer, ModelConfig, load_checkpoint, save_checkpoint
from llm_explainer.checkpoint import hub
from llm_explainer.checkpoint.hub import MODELS, is_wanted
from llm_explainer.commands.get import get
from llm_explainer.errors import CheckpointError

NOT_FETCHED = (
    "pytorch_model.bin",
    "tokenizer.model",
    "onnx/config.json",
    "modeling.py",
    ".json.py",
)


class GatedRepoError(Exception):
    """As the client calls it."""


class Hub:
    """A Hub with one model, which fails or lies as it is told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.commit = MODELS["gpt2"].commit
        self.error: Exception | None = None
        self.lie_of: str | None = None
        self.fetched: list[str] = []

    def model_info(self, repository: str, **asked: Any) -> SimpleNamespace:
        assert asked["revision"] == MODELS["gpt2"].commit
        if self.error is not None:
            raise self.error
        return SimpleNamespace(
            sha=self.commit,
            siblings=[self.entry(file) for file in sorted(self.folder.iterdir())]
            + [SimpleNamespace(rfilename=name, size=3, lfs=None) for name in NOT_FETCHED],
        )

    def entry(self, file: Path) -> SimpleNamespace:
        data = file.read_bytes() + (b"!" if file.name == self.lie_of else b"")
        lfs = SimpleNamespace(sha256=hashlib.sha256(data).hexdigest())
        has_digest = file.suffix == ".safetensors"
        return SimpleNamespace(
            rfilename=file.name,
            size=file.stat().st_size if has_digest else len(data),
            lfs=lfs if has_digest else None,
        )

    def snapshot_download(self, repository: str, **asked: Any) -> None:
        assert asked["revision"] == MODELS["gpt2"].commit
        if isinstance(self.error, GatedRepoError):
            raise self.error
        asked["local_dir"].mkdir(parents=True, exist_ok=True)
        for name in asked["allow_patterns"]:
            self.fetched.append(name)
            shutil.copyfile(self.folder / name, asked["local_dir"] / name)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    tokenizer = BPETokenizer.train(["once upon a time " * 4], 262)
    config = ModelConfig(**{**SMALL, "vocab_size": 262, "d_ff": 32})
    save_checkpoint(tmp_path / "hub", random_model(config, np.float32), tokenizer)
    (tmp_path / "hub" / "SHA256SUMS").unlink()
    found = Hub(tmp_path / "hub")
    client = ModuleType("huggingface_hub")
    client.HfApi = lambda: found  # type: ignore[attr-defined]
    client.snapshot_download = found.snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    return found


@pytest.fixture
def command(
    there: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    return command_runner(tmp_path, monkeypatch, capsys)


def test_a_model_is_fetched_checked_and_loaded(command: Any, there: Hub, tmp_path: Path) -> None:
    code, out, err = command(get, "gpt2")
    assert (code, err) == (0, "")
    said = ["commit 607a30d783df", "licence     MIT", "about 0.55 GB", "generate models/gpt2"]
    assert [words for words in said if words in out] == said
    assert set(there.fetched) == {file.name for file in there.folder.iterdir()}
    folder = tmp_path / "models" / "gpt2"
    assert MODELS["gpt2"].commit in (folder / "source.txt").read_text()
    assert load_checkpoint(folder, "numpy")[1].vocab_size == 262
    assert command(get, "gpt2")[0] == 0  # again, which finds all of it
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (folder / "model.safetensors").write_bytes(data)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        load_checkpoint(folder, "numpy")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_that_is_another_one_is_removed(
    command: Any, there: Hub, tmp_path: Path, name: str
) -> None:
    there.lie_of = name
    result = command(get, "gpt2", "--to=here")
    assert_one_line(result, f"here/{name} is not what the Hub says", "fetches it again")
    assert not (tmp_path / "here" / name).exists()
    assert not (tmp_path / "here" / "SHA256SUMS").exists()
    there.lie_of = None
    assert command(get, "gpt2", "--to=here")[0] == 0


def test_without_a_network_it_says_what_to_do_by_hand(command: Any, there: Hub) -> None:
    there.error = OSError("Name or service\nnot known")
    result = command(get, "gpt2", "--to=my models")
    by_hand = f"hf download openai-community/gpt2 --revision {MODELS['gpt2'].commit} --include"
    assert_one_line(result, "(Name or service not known)", by_hand, "--local-dir 'my models'")
    assert "licence     MIT" in result[1]  # said first


def test_without_the_package_it_says_what_brings_it(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert_one_line(command(get, "gpt2"), "uv sync --extra hub", "hf download")


def test_a_licence_that_is_to_be_accepted(command: Any, there: Hub) -> None:
    there.error = GatedRepoError("403")
    result = command(get, "gpt2")
    assert_one_line(result, "accept its licence at https://huggingface.co/", "hf auth login")
    there.error = OSError("offline")
    assert "to be accepted at https" in command(get, "llama-3.2-1b")[1]


def test_what_cannot_be_fetched(
    command: Any, there: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_one_line(command(get, "bert"), "'bert' is not known", "smollm2, smollm2-360m")
    (tmp_path / "file").touch()
    assert_one_line(command(get, "gpt2", "--to=file/in"), "cannot write file/in")
    there.commit = "0" * 40
    assert_one_line(command(get, "gpt2"), "answered with commit 000")
    there.commit = MODELS["gpt2"].commit
    monkeypatch.setattr(hub.shutil, "disk_usage", lambda place: SimpleNamespace(free=10))
    assert_one_line(command(get, "gpt2"), "has no room")
    assert there.fetched == []


def test_every_model_is_named_by_a_commit() -> None:
    for model in MODELS.values():
        assert re.fullmatch("[0-9a-f]{40}", model.commit)
        assert model.licence
        assert 0.1 < model.gigabytes < 5
    assert not any(is_wanted(name) for name in NOT_FETCHED)
    assert is_wanted("model-00001-of-00002.safetensors")
