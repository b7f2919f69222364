"""Weights in few bits: as mlx-lm has them on disk, and as MLX computes with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_line, command_runner
from safetensors.numpy import load_file, save_file
from small_models import SMALL, SWITCHES, random_tokens, randomize

from llm_explainer import BPETokenizer, ModelConfig, load_checkpoint, save_checkpoint
from llm_explainer.checkpoint.export.mlx_lm import export_mlx
from llm_explainer.checkpoint.export.proof import BOUNDS
from llm_explainer.checkpoint.packed import Packing, pack, unpack
from llm_explainer.commands import export as command_module
from llm_explainer.commands.export import export
from llm_explainer.errors import CheckpointError
from llm_explainer.numpy_backend import GPT

TEXTS = ["once upon a time there was a fox", "a shy fox. " * 4]
TOKENIZER = BPETokenizer.train(TEXTS, 280)
SIZES = {**SMALL, "vocab_size": 285, "context_length": 12, "d_model": 64, "d_ff": 128}
RUN_BY_MLX_LM = ("gpt2", "llama", "llama untied", "llama biases", "qwen2", "qwen3", "smollm3")
pytestmark = pytest.mark.filterwarnings("ignore:the weights in")


def make(name: str, **more: Any) -> Any:
    changes = {"d_ff": 256} if name == "gpt2" else {}
    model = GPT(ModelConfig(**{**SIZES, **changes, **SWITCHES[name], **more}))
    randomize(model, std=0.05)  # with larger weights attention is a switch, which rounding turns
    return model


def matrices() -> list[np.ndarray]:
    """Return ordinary weights, and groups that are zero, all of a sign, or one number alone."""
    rng = np.random.default_rng(0)
    odd = np.zeros((6, 128), np.float32)
    odd[1], odd[2], odd[3] = 1, rng.random(128), -rng.random(128) - 1
    odd[4, 3], odd[5] = 5, 1e-9 * rng.normal(size=128)
    return [rng.normal(size=(50, 192)).astype(np.float32), odd]


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_packing_is_what_mlx_computes(bits: int) -> None:
    mx = pytest.importorskip("mlx.core", exc_type=ImportError)
    for weight in matrices():
        packed = pack(weight, Packing(bits))
        for ours, theirs in zip(packed, mx.quantize(mx.array(weight), 64, bits), strict=True):
            np.testing.assert_array_equal(ours, np.asarray(theirs))
        whole = mx.dequantize(*map(mx.array, packed), 64, bits)
        np.testing.assert_allclose(unpack(*packed, Packing(bits)), np.asarray(whole), atol=1e-6)


@pytest.mark.parametrize("kind", ["4bit", "8bit"])
@pytest.mark.parametrize("name", RUN_BY_MLX_LM)
def test_what_is_packed_is_read_back(name: str, kind: Any, tmp_path: Path) -> None:
    model = make(name)
    proof = export_mlx(
        model, TOKENIZER, tmp_path / "there", kind=kind, texts=TEXTS, source="a test"
    )
    assert "steps of" in dict(proof.rows())["weights"]
    found, tokenizer = load_checkpoint(tmp_path / "there", "numpy")
    assert tokenizer.encode(TEXTS[0]) == TOKENIZER.encode(TEXTS[0])
    packing = Packing(int(kind[0]))
    for block, original in zip(found.blocks, model.blocks, strict=True):
        for layer in ("up_proj", "down_proj"):
            weight = getattr(original.feed_forward, layer).weight
            expected = unpack(*pack(np.ascontiguousarray(weight), packing), packing)
            np.testing.assert_array_equal(getattr(block.feed_forward, layer).weight, expected)
    if name == "gpt2":  # mlx-lm's own names, which are not turned over again
        stored = load_file(tmp_path / "there" / "model.safetensors")
        assert stored["model.h.0.attn.c_attn.weight"].shape == (192, 64 * packing.bits // 32)
        assert "model.wpe.scales" not in stored


def test_a_whole_model_for_mlx_lm_is_a_directory_as_any(tmp_path: Path) -> None:
    model = make("llama")
    export_mlx(model, TOKENIZER, tmp_path / "there", kind=None, texts=TEXTS, source="a test")
    tokens = random_tokens(model.config, 1, 8)
    found = load_checkpoint(tmp_path / "there", "numpy")[0]
    np.testing.assert_array_equal(found(tokens), model(tokens))


@pytest.mark.parametrize(
    ("name", "more", "message"),
    [
        ("mistral", {}, "runs a mistral without its sliding window"),
        ("qwen2 windows", {}, "runs a qwen2 without its sliding window"),
        ("gpt2 untied", {}, "head is its own"),
        ("gpt2", {"d_ff": 64}, "not four times its d_model"),
        ("gpt2 post", {}, "mlx-lm has no model with these switches"),
        ("llama yarn", {}, "an attention_factor of 1.13863 and whole"),
        ("llama", {"d_model": 32, "d_ff": 32}, "none can be packed"),
    ],
)
def test_what_mlx_lm_would_run_otherwise_is_not_written(
    name: str, more: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        export_mlx(
            make(name, **more), TOKENIZER, tmp_path / "x", kind="4bit", texts=TEXTS, source="-"
        )
    assert list(tmp_path.iterdir()) == []


def test_a_weight_that_is_off_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits alone would not show it: rounding to 4 bits moves them by more."""

    def worse(weight: np.ndarray, packing: Packing) -> Any:
        words, scales, biases = pack(weight, packing)
        biases[3] += 2.5 * np.abs(scales[3])
        return words, scales, biases

    monkeypatch.setattr("llm_explainer.checkpoint.export.mlx_lm.pack", worse)
    with pytest.raises(CheckpointError, match=r"a weight is .* steps off"):
        export_mlx(make("llama"), TOKENIZER, tmp_path / "x", kind="8bit", texts=TEXTS, source="-")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    folder = tmp_path / "packed"
    export_mlx(make("llama"), TOKENIZER, folder, kind="4bit", texts=TEXTS, source="a test")
    (folder / "SHA256SUMS").unlink(missing_ok=True)
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"group_size": 64, "bits": 3}, "quantised weights are not supported"),
        ({"group_size": 64, "bits": 4, "mode": "mxfp4"}, "quantised weights are not supported"),
        ({"group_size": 64, "bits": True}, "quantised weights are not supported"),
        ({"group_size": 64, "bits": 4, "lm_head": False}, "quantised weights are not supported"),
        ({"group_size": 32, "bits": 4}, "and its numbers take"),
        ({"group_size": 64, "bits": 8}, "and its numbers take|is none of packed"),
        (None, "do not belong together"),
    ],
)
def test_other_ways_to_quantise_are_refused(
    packed: Path, settings: dict[str, Any] | None, message: str
) -> None:
    document = json.loads((packed / "config.json").read_text())
    document["quantization"] = settings
    (packed / "config.json").write_text(json.dumps(document))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(packed, "numpy")


def test_parts_that_do_not_fit_are_refused(packed: Path, tmp_path: Path) -> None:
    file = packed / "model.safetensors"
    whole, name = load_file(file), "model.layers.0.mlp.up_proj"
    for changes, message in (
        ({f"{name}.biases": None}, "biases None"),
        ({f"{name}.scales": whole[f"{name}.scales"][:1]}, "has scales"),
        ({f"{name}.scales": np.full_like(whole[f"{name}.scales"], np.nan)}, "NaN or infinity"),
        ({f"{name}.scales": np.full_like(whole[f"{name}.scales"], 3e38)}, "no longer finite"),
        ({f"{name}.weight": whole[f"{name}.weight"].astype(np.float32)}, "packed numbers are U32"),
        ({f"{name}.weight": whole[f"{name}.weight"][0]}, "none of packed numbers"),
    ):
        tensors = {key: array for key, array in {**whole, **changes}.items() if array is not None}
        save_file(tensors, file)
        with pytest.raises(CheckpointError, match=message) as caught:
            load_checkpoint(packed, "numpy")
        assert "\n" not in str(caught.value)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    save_checkpoint(tmp_path / "model", make("llama"), TOKENIZER)
    monkeypatch.setattr(command_module, "N_TEXTS", 4)
    return command_runner(tmp_path, monkeypatch, capsys)


def test_the_command_packs(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, _ = command(export, "model", "--to=mlx", "--kind=4bit", "--out=there")
    assert code == 0
    assert "steps of 4 bits, all of them" in out
    assert command(export, "model", "--to=mlx", "--kind=8bit", "--out=there", "--overwrite")[0] == 0
    assert_one_line(command(export, "model", "--to=mlx", "--kind=Q8_0", "--out=x"), "--to gguf")
    shutil.rmtree(tmp_path / "there")
    monkeypatch.setitem(BOUNDS, "4bit", 1e-9)
    result = command(export, "model", "--to=mlx", "--kind=4bit", "--out=there")
    assert_one_line(result, "logits", "not written")
    assert not (tmp_path / "there").exists()
