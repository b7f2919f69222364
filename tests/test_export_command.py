"""What export writes is proved to be the same model, or is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_line, command_runner
from tiny_base import base  # noqa: F401

from llm_explainer import load_checkpoint
from llm_explainer.checkpoint.export import proof as exports
from llm_explainer.checkpoint.gguf import read_header
from llm_explainer.commands import export as command_module
from llm_explainer.commands.export import export

pytest.importorskip("gguf")
pytestmark = pytest.mark.filterwarnings("ignore:the weights in")


@pytest.fixture
def command(
    base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Any:
    (tmp_path / "base").symlink_to(base)
    monkeypatch.setattr(command_module, "N_TEXTS", 20)
    return command_runner(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize("arguments", [["--kind=F32"], ["--kind=Q8_0"], ["--to=hf"]], ids=str)
def test_what_is_exported_is_the_same_model(
    command: Any, tmp_path: Path, arguments: list[str]
) -> None:
    code, out, said = command(export, "base", "--out=there", *arguments)
    assert (code, said) == (0, "")
    assert "equal for 20 texts" in out
    folder = tmp_path / "there"
    path = folder if "--to=hf" in arguments else next(folder.glob("*.gguf"))
    if path != folder:
        assert read_header(path).values["general.name"] == "there"
    model, tokenizer = load_checkpoint(tmp_path / "base", "numpy")
    found, read = load_checkpoint(path, "numpy")
    ids = np.array([tokenizer.encode("Once there was a fox")])
    near = 0.1 if "--kind=Q8_0" in arguments else 1e-5
    np.testing.assert_allclose(found(ids), model(ids), atol=near * np.abs(model(ids)).max())
    assert read.encode("a fox") == tokenizer.encode("a fox")
    assert "SHA-256 of its weights" in (folder / "README.md").read_text()
    assert_one_line(command(export, "base", "--out=there", *arguments), "exists already")
    assert command(export, "base", "--out=there", "--overwrite", *arguments)[0] == 0


def test_what_differs_is_not_left_behind(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(exports.BOUNDS, "Q8_0", 1e-9)
    assert_one_line(command(export, "base", "--out=there", "--kind=Q8_0"), "logits", "not written")
    assert not (tmp_path / "there").exists()


def test_a_kind_of_numbers_is_of_a_gguf(command: Any) -> None:
    assert_one_line(command(export, "base", "--to=hf", "--kind=F16"), "--kind F16", "--to gguf")
