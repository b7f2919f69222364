"""In what a model is kept: float32, on MLX fewer bits; how large that is, and whether it fits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_one_line, command_runner
from mlx_twins import mx
from small_models import SMALL, SWITCHES, random_tokens, randomize

from llm_explainer import BPETokenizer, LoRAConfig, ModelConfig, apply_lora, save_checkpoint
from llm_explainer.checkpoint import load_model, save_adapter
from llm_explainer.checkpoint import storage as storages
from llm_explainer.checkpoint.packed import Packing, pack, unpack
from llm_explainer.checkpoint.storage import Storage, describe_size
from llm_explainer.commands import talking
from llm_explainer.commands.ask import ask
from llm_explainer.commands.chat import chat
from llm_explainer.commands.generate import generate
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.numpy_backend import GPT
from llm_explainer.tree import flatten

TOKENIZER = BPETokenizer.train(["once upon a time there was a fox " * 4], 270)
SIZES = {**SMALL, "vocab_size": 270, "context_length": 12, "d_model": 64, "d_ff": 128}
NAMES = ("gpt2", "llama", "llama untied", "qwen2 windows", "qwen3")
pytestmark = pytest.mark.filterwarnings("ignore:the weights in")


def make(name: str) -> Any:
    model = GPT(ModelConfig(**{**SIZES, **SWITCHES[name], "head_dim": 16}))
    randomize(model, std=0.05)
    return model


@pytest.fixture(params=NAMES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Path]:
    model = make(request.param)
    return model, save_checkpoint(tmp_path / "model", model, TOKENIZER)


def rounded(model: Any, bits: int) -> Any:
    """Return a model of NumPy with every matrix as it is in few bits."""
    packing, other = Packing(bits), GPT(model.config)
    arrays = {
        name: unpack(*pack(np.ascontiguousarray(array), packing), packing)
        if packing.takes(array.shape) and not name.startswith("position")
        else array
        for name, array in flatten(model.parameters()).items()
    }
    other.update_each(arrays.__getitem__)
    return other


@pytest.mark.parametrize("bits", [4, 8])
def test_few_bits_compute_what_they_stand_for(pair: tuple[Any, Path], bits: int) -> None:
    model, path = pair
    found = load_model(path, "mlx", Storage(bits=bits))
    packed = [n for n, array in flatten(found.parameters()).items() if array.dtype == mx.uint32]
    n_heads = 0 if model.config.tie_embeddings else 1
    gates = 1 if model.config.activation == "swiglu" else 0
    assert len(packed) == 1 + n_heads + (4 + gates) * model.config.n_layers
    tokens = random_tokens(model.config, 2, 8)
    expected = rounded(model, bits)(tokens)
    np.testing.assert_allclose(np.asarray(found(tokens)), expected, atol=2e-5)
    assert np.abs(expected - model(tokens)).max() > 1e-3
    cache = found.make_cache(2)
    found.next_logits(tokens[:, :5], cache)
    step = np.asarray(found.next_logits(tokens[:, 5:], cache))
    np.testing.assert_allclose(step, expected[:, -1], atol=2e-5)


@pytest.mark.parametrize("bits", [None, 8])
def test_bfloat16_is_near_and_half_as_large(pair: tuple[Any, Path], bits: int | None) -> None:
    model, path = pair
    found = load_model(path, "mlx", Storage("bfloat16", bits))
    kinds = {array.dtype for array in flatten(found.parameters()).values()}
    assert kinds == ({mx.bfloat16} if bits is None else {mx.bfloat16, mx.uint32, mx.float32})
    tokens = random_tokens(model.config, 2, 8)
    expected = model(tokens)
    near = (0.02 if bits is None else 0.04) * np.abs(expected).max()
    logits = found(tokens)
    assert logits.dtype == mx.float32
    np.testing.assert_allclose(np.asarray(logits), expected, atol=near)
    cache = found.make_cache(2)
    found.next_ids(tokens[:, :5], cache)
    step = np.asarray(found.next_logits(tokens[:, 5:], cache))
    assert cache.layers[0]._keys.dtype == mx.bfloat16
    np.testing.assert_allclose(step, expected[:, -1], atol=near)


@pytest.mark.parametrize(
    ("backend", "storage", "message"),
    [
        ("numpy", Storage("bfloat16"), "dtype is 'bfloat16', and NumPy computes in float32"),
        ("numpy", Storage(bits=4), "quantize is 4, and NumPy computes in float32"),
        ("mlx", Storage("float16"), "dtype is 'float16'; choose one of float32, bfloat16"),
        ("mlx", Storage(bits=3), "quantize is 3; choose one of 4, 8"),
    ],
)
def test_what_a_backend_lacks_is_refused_before_anything_is_read(
    backend: str, storage: Storage, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_model("nowhere", backend, storage)


def test_what_has_no_whole_groups_stays_as_it_is(tmp_path: Path) -> None:
    model = GPT(ModelConfig(**{**SMALL, **SWITCHES["llama"]}))
    found = load_model(save_checkpoint(tmp_path / "m", model), "mlx", Storage(bits=4))
    for name, array in flatten(found.parameters()).items():
        np.testing.assert_array_equal(np.asarray(array), flatten(model.parameters())[name])


def test_adapters_go_on_float32_alone(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "base", make("llama"), TOKENIZER)
    model = apply_lora(load_model(tmp_path / "base", "numpy"), LoRAConfig(rank=2))
    path = save_adapter(tmp_path / "lora", model, base=tmp_path / "base")
    with pytest.raises(CheckpointError, match=r"not in 4 bits, .* run_demo\.py merge"):
        load_model(path, "mlx", Storage(bits=4))
    for adapter in (path, None):
        with pytest.raises(CheckpointError, match="float32"):
            talking.load_named(
                tmp_path / "base" if adapter else path,
                adapter,
                backend="mlx",
                dtype="bfloat16",
                quantize=None,
            )


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (Storage(), "134.5 million parameters, 0.54 GB in float32"),
        (Storage("bfloat16"), "134.5 million parameters, 0.27 GB in bfloat16"),
        (Storage(bits=4), "134.5 million parameters, 0.08 GB in 4 bits, the rest in float32"),
    ],
)
def test_the_size_of_smollm2(storage: Storage, words: str) -> None:
    config = ModelConfig.preset("tiny", family="llama", vocab_size=49152, d_model=576, n_layers=30)
    sizes = {"n_heads": 9, "n_kv_heads": 3, "d_ff": 1536, "head_dim": 64}
    config = ModelConfig(**{**config.to_dict(), **sizes})
    assert describe_size(config, storage) == words


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    save_checkpoint(tmp_path / "model", make("llama"), TOKENIZER)
    return command_runner(tmp_path, monkeypatch, capsys)


def test_a_large_model_is_told_before_it_is_loaded(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["model", "--prompt=a fox", "--max-tokens=1"]
    assert "parameters" not in command(generate, *words)[2]
    monkeypatch.setattr(talking, "SAID_FROM", 1000)
    said = command(generate, *words, "--backend=mlx", "--quantize=8")[2]
    assert said.startswith("model: 0.1 million parameters, 0.00 GB in 8 bits")
    assert_one_line(command(generate, *words, "--quantize=8", "--backend=numpy"), "--quantize is 8")
    assert_one_line(command(chat, "model", "--prompt=a", "--dtype=half", "--backend=mlx"), "'half'")
    assert_one_line(command(ask, "model", "--dtype=bfloat16", "--backend=numpy"), "bfloat16")


def test_a_model_without_room_is_refused_in_one_line(
    command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "available_memory", lambda: 300_000)
    result = command(generate, "model", "--prompt=a fox", "--backend=numpy")
    assert_one_line(result, "does not fit", "0.00 GB are free", "--quantize 4")
    small = ["--backend=mlx", "--quantize=8", "--max-tokens=1"]
    assert command(generate, "model", "--prompt=a fox", *small)[0] == 0
