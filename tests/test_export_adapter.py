"""Adapters are exported as PEFT and mlx-lm have them, and read back as each of them would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_line, command_runner
from small_models import LLAMA, SMALL, SWITCHES, random_model, random_tokens

from llm_explainer import (
    BPETokenizer,
    LoRAConfig,
    ModelConfig,
    apply_lora,
    load_checkpoint,
    save_checkpoint,
)
from llm_explainer.checkpoint import load_model, save_adapter
from llm_explainer.checkpoint.adapters import base_of
from llm_explainer.checkpoint.export import adapters as exports
from llm_explainer.commands import export as command_module
from llm_explainer.commands.export import export
from llm_explainer.tree import flatten

TOKENIZER = BPETokenizer.train(["once upon a time there was a fox " * 4], 270)
pytestmark = pytest.mark.filterwarnings("ignore:the adapters of a head that is tied")


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    monkeypatch.setattr(command_module, "N_TEXTS", 4)
    return command_runner(tmp_path, monkeypatch, capsys)


def put_adapters(folder: Path, switches: dict[str, Any], **lora: Any) -> Any:
    """Write a base and adapters; return the model with both."""
    sizes = {**SMALL, "vocab_size": 270, "context_length": 12}
    save_checkpoint(folder / "base", random_model(ModelConfig(**{**sizes, **switches}), np.float32))
    save_checkpoint(folder / "base", load_model(folder / "base"), TOKENIZER, overwrite=True)
    model = apply_lora(load_model(folder / "base", "numpy"), LoRAConfig(rank=2, **lora))
    for name, array in flatten(model.trainable()).items():
        array += np.float32(0.1) if name.endswith("lora_b") else np.float32(0)
    save_adapter(folder / "lora", model, base=folder / "base", trainer_state={"step": 1})
    return model


@pytest.mark.parametrize(
    ("switches", "lora", "readers"),
    [
        (LLAMA, {}, "PEFT and mlx-lm"),
        ({}, {"dora": True}, "PEFT and mlx-lm"),
        (LLAMA, {"targets": ["all-linear", "head"]}, "PEFT"),
    ],
    ids=["llama", "gpt2 dora", "tied head"],
)
def test_adapters_are_those_of_the_run(
    command: Any, tmp_path: Path, switches: dict[str, Any], lora: dict[str, Any], readers: str
) -> None:
    model = put_adapters(tmp_path, switches, **lora)
    code, out, _ = command(export, "lora", "--to=adapter", "--out=there/lora")
    assert code == 0
    assert (
        readers
        in dict(line.split(maxsplit=1) for line in out.replace("read by", "by").splitlines())["by"]
    )
    folder = tmp_path / "there" / "lora"
    assert not (folder / "trainer_state.json").exists()
    assert "SHA-256" in (folder / "README.md").read_text()
    assert base_of(folder) == (tmp_path / "base").resolve()
    settings = json.loads((folder / "adapter_config.json").read_text())
    del settings["llm_explainer"]  # so that it is PEFT's part that is read
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    (folder / "SHA256SUMS").unlink()
    tokens = random_tokens(model.config, 1, 8)
    found = load_checkpoint(folder, "numpy")[0]
    np.testing.assert_allclose(found(tokens), model(tokens), atol=1e-4)
    assert np.abs(found(tokens) - load_model(tmp_path / "base", "numpy")(tokens)).max() > 1e-3


def test_it_may_be_written_again(command: Any, tmp_path: Path) -> None:
    put_adapters(tmp_path, LLAMA)
    for more in ([], ["--overwrite"]):
        assert command(export, "lora", "--to=adapter", "--out=there", *more)[0] == 0
    assert_one_line(command(export, "lora", "--to=adapter", "--out=there"), "exists already")


def test_what_has_none_is_refused(command: Any, tmp_path: Path) -> None:
    put_adapters(tmp_path, LLAMA)
    result = command(export, "base", "--to=adapter", "--out=there")
    assert_one_line(result, "base has no adapters", "--to hf")
    result = command(export, "lora", "--to=adapter", "--kind=F16", "--out=there")
    assert_one_line(result, "--kind F16", "leave it out")


def test_a_base_of_our_own_kind_is_refused(command: Any, tmp_path: Path) -> None:
    put_adapters(tmp_path, SWITCHES["gpt2 post"])
    result = command(export, "lora", "--to=adapter", "--out=there")
    assert_one_line(result, "PEFT and mlx-lm have no model")
    assert not (tmp_path / "there").exists()


def test_adapters_that_differ_are_not_left_behind(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_adapters(tmp_path, LLAMA)
    monkeypatch.setattr(exports, "load_foreign", lambda folder, values, base: base)
    result = command(export, "lora", "--to=adapter", "--out=there")
    assert_one_line(result, "logits", "not written")
    assert not (tmp_path / "there").exists()
