"""GGUF files: what is written is read back, quantised is near, and damaged is refused."""

from __future__ import annotations

import os
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import LLAMA3, SWITCHES, random_model, random_tokens

from llm_explainer import BPETokenizer, LoRAConfig, ModelConfig, apply_lora, load_checkpoint
from llm_explainer.checkpoint import load_config, load_model
from llm_explainer.checkpoint.adapters import save_adapter
from llm_explainer.checkpoint.gguf import read_header, write_gguf
from llm_explainer.checkpoint.gguf.tensors import halves_apart, neighbours, read_stored
from llm_explainer.checkpoint.gguf.tokenizer import tokenizer_metadata
from llm_explainer.errors import CheckpointError, LLMExplainerError, LLMExplainerWarning
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.tokenizer.chat_template import ChatTemplate
from llm_explainer.tokenizer.readable.special_tokens import TokenFlags
from llm_explainer.tree import flatten

pytest.importorskip("gguf")
N_DAMAGED = int(os.environ.get("DAMAGED_GGUFS", "300"))
TOKENIZER = BPETokenizer.train(["once upon a time there was a fox, a shy fox. " * 4], 280)
META = {**LLAMA3, "factor": 32.0, "original_context": 8192}
WRITTEN: dict[str, dict[str, Any]] = {
    "gpt2": SWITCHES["gpt2"],
    "gpt2 no biases": SWITCHES["gpt2 no biases"],
    "gpt2 untied": SWITCHES["gpt2 untied"],
    "llama": SWITCHES["llama"],
    "llama untied": SWITCHES["llama untied"],
    "llama biases": SWITCHES["llama biases"],
    "llama narrow heads": SWITCHES["llama narrow heads"],
    "llama linear": SWITCHES["llama linear"],
    "llama llama3": {**SWITCHES["llama"], "head_dim": 8, "rope_scaling": META},
    "qwen2": SWITCHES["qwen2"],
    "qwen3": SWITCHES["qwen3"],
}


def make(changes: dict[str, Any], **more: Any) -> Any:
    sizes = {"vocab_size": 285, "context_length": 12, "d_model": 32, "n_layers": 1, "n_heads": 4}
    return random_model(ModelConfig(**{**sizes, "d_ff": 32, **changes, **more}), np.float32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "model.gguf", make(SWITCHES["llama"]), TOKENIZER)


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_written_is_read_back(name: str, tmp_path: Path) -> None:
    model = make(WRITTEN[name])
    path = write_gguf(tmp_path / "model.gguf", model, TOKENIZER)
    found, tokenizer = load_checkpoint(path, "numpy")
    tokens = random_tokens(model.config, 2, 12)
    np.testing.assert_allclose(found(tokens), model(tokens), rtol=0, atol=1e-4)
    config = load_config(path)
    assert config.family == model.config.family
    assert config.tie_embeddings == model.config.tie_embeddings
    for text in ("once upon a time<|endoftext|>", "Füchse, 12 of them\n\n!", ""):
        assert tokenizer.encode(text) == TOKENIZER.encode(text)
    assert tokenizer.roles == TOKENIZER.roles


@pytest.mark.parametrize(("kind", "error"), [("F16", 2e-3), ("Q8_0", 1e-2)])
def test_matrices_are_as_near_as_their_kind_allows(kind: Any, error: float, tmp_path: Path) -> None:
    model = make(SWITCHES["llama"])
    path = write_gguf(tmp_path / "model.gguf", model, TOKENIZER, kind)
    with pytest.warns(LLMExplainerWarning, match=f"are {kind}; they are used as float32"):
        found = load_model(path, "numpy")
    weight = model.blocks[0].feed_forward.up_proj.weight
    near = found.blocks[0].feed_forward.up_proj.weight
    assert 0 < np.abs(near - weight).max() <= error * np.abs(weight).max()
    np.testing.assert_array_equal(found.final_norm.weight, model.final_norm.weight)


@pytest.mark.parametrize("kind", ["Q4_0", "Q4_1", "Q8_0", "F16", "BF16"])
def test_quantised_tensors_are_those_of_the_gguf_package(kind: str, tmp_path: Path) -> None:
    import gguf

    array = np.random.default_rng(0).normal(size=(6, 64)).astype(np.float32)
    label = gguf.GGMLQuantizationType[kind]
    data = gguf.quants.quantize(array, label)
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
    writer.add_tensor("t.weight", data, raw_dtype=label)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file):
        write()
    writer.write_tensors_to_file()
    writer.close()
    stored = read_header(tmp_path / "t.gguf").tensors["t.weight"]
    found = read_stored(tmp_path / "t.gguf", stored)
    np.testing.assert_array_equal(found, gguf.quants.dequantize(data, label).reshape(6, 64))
    assert np.abs(found - array).max() < 0.5


@pytest.mark.parametrize("kind", ["Q4_K", "Q6_K"])
def test_kinds_that_the_gguf_package_reads_and_does_not_write(kind: str, tmp_path: Path) -> None:
    import gguf

    label = gguf.GGMLQuantizationType[kind]
    in_block, n_bytes = gguf.GGML_QUANT_SIZES[label]
    data = np.random.default_rng(0).integers(0, 64, (4, 2 * n_bytes)).astype(np.uint8)
    writer = gguf.GGUFWriter(tmp_path / "t.gguf", "llama")
    writer.add_tensor("t.weight", data, raw_dtype=label)
    for write in (writer.write_header_to_file, writer.write_kv_data_to_file):
        write()
    writer.write_tensors_to_file()
    writer.close()
    stored = read_header(tmp_path / "t.gguf").tensors["t.weight"]
    assert stored.shape == (4, 2 * in_block)
    found = read_stored(tmp_path / "t.gguf", stored)
    np.testing.assert_array_equal(found, gguf.quants.dequantize(data, label))


def test_a_folder_means_the_one_file_in_it(file: Path) -> None:
    (file.parent / "README.md").write_text("a card")
    assert load_config(file.parent) == load_config(file)
    tokens = random_tokens(load_config(file), 1, 4)
    found = load_model(file.parent, "numpy")(tokens)
    np.testing.assert_array_equal(found, load_model(file, "numpy")(tokens))
    (file.parent / "b.gguf").touch()
    with pytest.raises(
        CheckpointError, match=r"holds 2 GGUF files, b\.gguf, model\.gguf; name one"
    ):
        load_config(file.parent)


def test_adapters_stand_on_a_gguf_file(file: Path, tmp_path: Path) -> None:
    model = apply_lora(load_model(file, "numpy"), LoRAConfig(rank=2))
    for name, array in flatten(model.trainable()).items():
        array += np.float32(0.1) if name.endswith("lora_b") else np.float32(0)
    path = save_adapter(tmp_path / "adapter", model, base=file)
    tokens = random_tokens(model.config, 1, 8)
    found, tokenizer = load_checkpoint(path, "numpy")
    np.testing.assert_array_equal(found(tokens), model(tokens))
    assert tokenizer.encode("a fox") == TOKENIZER.encode("a fox")
    assert np.abs(found(tokens) - load_model(file, "numpy")(tokens)).max() > 1e-3


def test_rows_of_heads_go_there_and_back() -> None:
    rows = np.arange(24.0).reshape(24, 1)
    np.testing.assert_array_equal(halves_apart(neighbours(rows, 3), 3), rows)
    assert neighbours(rows, 3)[:4, 0].tolist() == [0, 4, 1, 5]  # pairs that turn together


def test_a_template_and_the_file_s_own_name_are_kept(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(["once upon a time " * 4], 262)
    tokenizer.chat_template = ChatTemplate()
    path = write_gguf(tmp_path / "mod\udcffel.gguf", make({}), tokenizer)  # no text, but a name
    assert read_header(path).values["general.name"] == "mod?el"
    found = load_checkpoint(path, "numpy")[1].chat_template
    assert found is not None
    turns = [{"role": "user", "content": "Hi"}]
    assert found.render(turns) == ChatTemplate().render(turns)


def test_what_llama_cpp_would_run_otherwise_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    for changes, message in (
        (SWITCHES["mistral"], "does not run a mistral"),
        (SWITCHES["smollm3"], "does not run a smollm3"),
        ({"norm_position": "post"}, "a model of our own kind"),
        (SWITCHES["llama yarn"], "by yarn"),
    ):
        with pytest.raises(CheckpointError, match=message):
            write_gguf(path, make(changes), TOKENIZER)
    with pytest.raises(CheckpointError, match="no CharTokenizer; byte-level BPE would do"):
        write_gguf(path, make({}), CharTokenizer.train(["text"]))
    own = BPETokenizer.train(["once upon"], 260, pattern=r"\w+|\W")
    with pytest.raises(CheckpointError, match="cannot cut words by the pattern"):
        write_gguf(path, make({}), own)
    assert list(tmp_path.iterdir()) == []


def changed(file: Path, old: bytes, new: bytes) -> Path:
    data = file.read_bytes()
    assert data.count(old) == 1
    file.write_bytes(data.replace(old, new))
    return file


def uint(name: str, value: int) -> bytes:
    """Return a setting as it lies in a file."""
    return name.encode() + struct.pack("<II", 4, value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"GGUF\3", b"GGUF\1", "is GGUF version 1; 2 and 3"),
        (b"general.architecture", b"general.architecturx", "general.architecture is None"),
        (b"\5\0\0\0\0\0\0\0llama", b"\5\0\0\0\0\0\0\0bloom", "'bloom'; llama, qwen2"),
        (b"llama.block_count", b"llama.block_whats", "llama.block_whats is not known here"),
        (b"blk.0.ffn_up.weight", b"blk.0.ffn_ab.weight", "'blk.0.ffn_ab.weight' is no part"),
        (uint("llama.block_count", 2), uint("llama.block_count", 3), "is missing"),
        (uint("embedding_length", 32), uint("embedding_length", 1 << 30), "a whole number from 1"),
        (uint("dimension_count", 8), uint("dimension_count", 4), "as wide as a head, 8"),
        (b"\5\0\0\0\0\0\0\0gpt-2", b"\5\0\0\0\0\0\0\0gpt-9", "'gpt-9'"),
    ],
)
def test_damage_is_named(file: Path, old: bytes, new: bytes, message: str) -> None:
    with pytest.raises(LLMExplainerError, match=message) as caught:
        load_checkpoint(changed(file, old, new), "numpy")
    assert "\n" not in str(caught.value)


def test_no_damage_passes_without_a_word(file: Path, tmp_path: Path) -> None:
    """Bytes changed, cut off or put in: the model is as it was, or one line says why not."""
    rng, data = np.random.default_rng(5), file.read_bytes()
    front = data.index(b"output_norm.weight")
    outcomes = {"refused": 0, "read": 0, "in lines": 0}
    warnings.simplefilter("ignore")
    for number in range(N_DAMAGED):
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(front if number % 4 else len(damaged)))
            kind = rng.integers(4)
            if kind == 0:
                damaged[at] = rng.integers(256)
            elif kind == 1:
                del damaged[at : at + int(rng.integers(1, 9))]
            elif kind == 2:
                damaged[at:at] = rng.bytes(int(rng.integers(1, 9)))
            else:
                damaged[at : at + 8] = struct.pack("<Q", int(rng.integers(1 << 62)))
        path = tmp_path / "damaged.gguf"
        path.write_bytes(damaged)
        try:
            load_checkpoint(path, "numpy")
            outcomes["read"] += 1
        except LLMExplainerError as error:
            outcomes["refused" if "\n" not in str(error) else "in lines"] += 1
    assert outcomes["refused"] > N_DAMAGED / 3
    assert outcomes["in lines"] == 0


def test_a_tokenizer_of_which_anything_would_get_lost_is_refused() -> None:
    text, name = ["once upon a time " * 4], "<|fim|>"
    vocab, merges = TOKENIZER.ordinary_vocab(), TOKENIZER.merges
    special = {**TOKENIZER.special_tokens, name: 280}

    def made(**settings: Any) -> BPETokenizer:
        return BPETokenizer(vocab, merges, special, **settings)

    kept = made(flags={name: TokenFlags(special=False)})
    types = tokenizer_metadata(kept, 282)["tokenizer.ggml.token_type"]
    assert types[280:] == [4, 5]  # defined by a user, unused
    for tokenizer, message in (
        (made(flags={name: TokenFlags(lstrip=True)}), "flags of added tokens"),
        (made(composes=True), "normalization"),
        (BPETokenizer.train(text, 262, pattern="qwen"), "normalization"),
        (BPETokenizer({**vocab, 300: b"zebra"}, merges, special, "gpt4"), "no merge makes"),
    ):
        with pytest.raises(CheckpointError, match=message):
            tokenizer_metadata(tokenizer, 301)
    reachable = BPETokenizer(vocab, merges, special, "gpt4")
    assert tokenizer_metadata(reachable, 281)["tokenizer.ggml.pre"] == "llama-bpe"
