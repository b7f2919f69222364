"""What export writes is proved to be the same model, or is not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_line, command_runner
from tiny_base import base  # noqa: F401

from llm_explainer import load_checkpoint
from llm_explainer.checkpoint.export import folders
from llm_explainer.checkpoint.export import proof as exports
from llm_explainer.checkpoint.gguf import read_header
from llm_explainer.checkpoint.packed import Packing
from llm_explainer.commands import export as command_module
from llm_explainer.commands.export import export
from llm_explainer.errors import CheckpointError

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


@pytest.mark.parametrize("at", [0, 1])
def test_logits_that_are_no_numbers_are_no_proof(base: Path, at: int) -> None:  # noqa: F811
    model, tokenizer = load_checkpoint(base, "numpy")
    texts, calls = ["", "a", "a fox", "the"], []

    def found(ids: Any) -> Any:
        calls.append(ids)
        return model(ids) * (np.nan if len(calls) == at + 1 else 1)

    with pytest.raises(CheckpointError, match="nan off"):
        exports.compare_logits(model, found, tokenizer, texts, 1.0)
    assert len(calls) == 3  # an empty text has none
    with pytest.raises(CheckpointError, match="no text of a token or more"):
        exports.compare_logits(model, model, tokenizer, [""], 1.0)


def test_weights_that_are_no_numbers_are_no_proof(
    base: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, found = (load_checkpoint(base, "numpy")[0] for _ in range(2))
    monkeypatch.setattr(exports, "load_model", lambda *_: found)
    packing = Packing(bits=8, group_size=16)
    assert exports.compare_weights(model, base, packing) == 0
    found.blocks[0].feed_forward.up_proj.weight[0, 0] = np.nan
    with pytest.raises(CheckpointError, match="a weight is nan steps off"):
        exports.compare_weights(model, base, packing)


def test_a_model_does_not_take_its_own_place(command: Any, tmp_path: Path) -> None:
    code, _, _ = command(export, "base", "--to=hf", "--out=mine")
    assert code == 0
    (tmp_path / "link").symlink_to("mine")
    for out in ("mine", "link"):
        result = command(export, "mine", "--to=hf", f"--out={out}", "--overwrite")
        assert_one_line(result, "is the model itself; take another --out")


def test_a_refusal_names_the_folder_that_was_asked_for(
    command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: Any) -> None:
        raise CheckpointError(f"{path}/config.json is not as it should be")

    monkeypatch.setattr(folders, "prove", lambda model, tokenizer, path, *_: refuse(path))
    assert_one_line(command(export, "base", "--to=hf", "--out=new"), "error: new/config.json is")

    def fail(path: Path, *_: Any, **__: Any) -> None:
        raise OSError("16384 requested and 464 written")  # as NumPy says it of a full disk

    monkeypatch.setattr(folders, "write_gguf", fail)
    result = command(export, "base", "--out=new")
    assert_one_line(result, "cannot write new: not all of it could be written (16384")
    assert not (tmp_path / "new").exists()


def test_a_kind_of_numbers_is_of_a_gguf(command: Any) -> None:
    assert_one_line(command(export, "base", "--to=hf", "--kind=F16"), "--kind F16", "--to gguf")
