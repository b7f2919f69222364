"""Our adapters in PEFT and mlx-lm, and theirs here; run where these are installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_models import FAMILIES, random_model

from llm_explainer import BPETokenizer, LoRAConfig, ModelConfig, apply_lora, save_checkpoint
from llm_explainer.checkpoint import load_adapter, save_adapter
from llm_explainer.tree import flatten

pytestmark = pytest.mark.filterwarnings("ignore")  # theirs warn about matters of their own

TOKENIZER = BPETokenizer.train(["once upon a time, " * 3], 264)
IDS = np.random.default_rng(0).integers(0, TOKENIZER.vocab_size, (2, 10))
ALL = "all-linear"
CASES: dict[str, dict[str, Any]] = {
    "q and v": {"targets": "q_proj,v_proj"},
    "k alone": {"targets": "k_proj"},
    "all": {"targets": ALL},
    "rslora": {"targets": ALL, "rslora": True},
    "rslora, ranks": {"targets": ALL, "rslora": True, "rank_pattern": "k_proj=1,down_proj=5"},
    "patterns": {"targets": ALL, "rank_pattern": "k_proj=1", "alpha_pattern": "o_proj=2,v_proj=7"},
    "dora": {"targets": ALL, "dora": True},
    "dora, q and v, rslora": {"targets": "q_proj,v_proj", "dora": True, "rslora": True},
    "dora, patterns": {"targets": ALL, "dora": True, "alpha_pattern": "k_proj=9"},
}
THEIRS: dict[str, dict[str, Any]] = {
    "q and v": {"gpt2": ["c_attn"], "llama": ["q_proj", "v_proj"]},
    "all": {"gpt2": ["c_attn", "c_proj", "c_fc"], "llama": "all-linear"},
    "mlp": {"gpt2": ["mlp.c_proj"], "llama": ["gate_proj", "down_proj"]},
}
each_family = pytest.mark.parametrize("family", FAMILIES)
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def make_base(folder: Path, family: str, **changes: Any) -> Any:
    sizes = {"d_model": 32, "n_heads": 4, "n_layers": 2, "context_length": 16, "d_ff": 0}
    kv = {"n_kv_heads": 2} if family == "llama" else {}
    config = ModelConfig.preset(
        "tiny", family=family, vocab_size=TOKENIZER.vocab_size, **{**sizes, **kv, **changes}
    )
    base = random_model(config, np.float32)
    for array in flatten(base.parameters()).values():
        array *= 0.5
    save_checkpoint(folder / "base", base, TOKENIZER)
    return base


def make_ours(folder: Path, base: Any, **changes: Any) -> Any:
    adapted = apply_lora(base, LoRAConfig(rank=3, alpha=5.0, **changes), seed=1)
    rng = np.random.default_rng(2)
    for array in flatten(adapted.trainable()).values():
        array += rng.normal(scale=0.2, size=array.shape).astype(np.float32)
    save_adapter(folder / "adapter", adapted, base=folder / "base")
    return adapted


def logits_of(theirs: Any) -> Any:
    torch = pytest.importorskip("torch")
    with torch.no_grad():
        return theirs.eval()(torch.from_numpy(IDS)).logits.numpy()


@each_family
@each_case
def test_peft_loads_ours(tmp_path: Path, family: str, case: dict[str, Any]) -> None:
    peft = pytest.importorskip("peft")
    auto = pytest.importorskip("transformers").AutoModelForCausalLM
    adapted = make_ours(tmp_path, base := make_base(tmp_path, family), **case)
    theirs = peft.PeftModel.from_pretrained(
        auto.from_pretrained(tmp_path / "base"), tmp_path / "adapter"
    )
    np.testing.assert_allclose(logits_of(theirs), adapted(IDS), rtol=0, atol=1e-4)
    theirs.save_pretrained(tmp_path / "again")  # without our settings
    again = load_adapter(tmp_path / "again", base)
    np.testing.assert_allclose(again(IDS), adapted(IDS), rtol=0, atol=1e-4)


@each_family
@each_case
def test_mlx_lm_loads_ours(tmp_path: Path, family: str, case: dict[str, Any]) -> None:
    mlx_lm, mx = pytest.importorskip("mlx_lm"), pytest.importorskip("mlx.core")
    adapted = make_ours(tmp_path, base := make_base(tmp_path, family), **case)
    theirs, _ = mlx_lm.load(str(tmp_path / "base"), adapter_path=str(tmp_path / "adapter"))
    np.testing.assert_allclose(np.array(theirs(mx.array(IDS))), adapted(IDS), rtol=0, atol=1e-4)
    path = tmp_path / "adapter" / "adapter_config.json"
    words = json.loads(path.read_text())
    kept = ("fine_tune_type", "num_layers", "lora_parameters")  # as mlx-lm writes it
    path.write_text(json.dumps({key: words[key] for key in kept}))
    (tmp_path / "adapter" / "SHA256SUMS").unlink()
    again = load_adapter(tmp_path / "adapter", base)
    np.testing.assert_allclose(again(IDS), adapted(IDS), rtol=0, atol=1e-4)


@pytest.mark.parametrize("tied", [False, True])
def test_heads_in_peft_and_mlx_lm(tmp_path: Path, tied: bool) -> None:
    peft, mlx_lm = pytest.importorskip("peft"), pytest.importorskip("mlx_lm")
    mx = pytest.importorskip("mlx.core")
    auto = pytest.importorskip("transformers").AutoModelForCausalLM
    base = make_base(tmp_path, "llama", tie_embeddings=tied)
    adapted = make_ours(tmp_path, base, targets="head,q_proj")
    theirs = peft.PeftModel.from_pretrained(
        auto.from_pretrained(tmp_path / "base"), tmp_path / "adapter"
    )
    np.testing.assert_allclose(logits_of(theirs), adapted(IDS), rtol=0, atol=1e-4)
    if not tied:
        theirs, _ = mlx_lm.load(str(tmp_path / "base"), adapter_path=str(tmp_path / "adapter"))
        np.testing.assert_allclose(np.array(theirs(mx.array(IDS))), adapted(IDS), atol=1e-4)


@each_family
@pytest.mark.parametrize("targets", THEIRS.values(), ids=THEIRS)
@pytest.mark.parametrize("options", [{}, {"use_rslora": True}, {"use_dora": True}], ids=str)
def test_what_peft_made_loads_here(
    tmp_path: Path, family: str, targets: dict[str, Any], options: dict[str, Any]
) -> None:
    peft, torch = pytest.importorskip("peft"), pytest.importorskip("torch")
    auto = pytest.importorskip("transformers").AutoModelForCausalLM
    base = make_base(tmp_path, family)
    config = peft.LoraConfig(
        task_type="CAUSAL_LM", r=3, lora_alpha=5, target_modules=targets[family], **options
    )
    theirs = peft.get_peft_model(auto.from_pretrained(tmp_path / "base"), config)
    torch.manual_seed(0)
    for name, parameter in theirs.named_parameters():
        if "lora_" in name:
            parameter.data += 0.2 * torch.randn_like(parameter)
    theirs.save_pretrained(tmp_path / "adapter")
    found = load_adapter(tmp_path / "adapter", base)
    assert found.lora.rank == 3
    np.testing.assert_allclose(found(IDS), logits_of(theirs), rtol=0, atol=1e-4)


@each_family
def test_what_mlx_lm_made_on_the_last_block_loads_here(tmp_path: Path, family: str) -> None:
    utils = pytest.importorskip("mlx_lm.tuner.utils")
    mlx_lm, mx = pytest.importorskip("mlx_lm"), pytest.importorskip("mlx.core")
    base = make_base(tmp_path, family)
    theirs, _ = mlx_lm.load(str(tmp_path / "base"))
    parameters = {"rank": 3, "scale": 2.5, "dropout": 0.0}
    theirs.freeze()
    utils.linear_to_lora_layers(theirs, 1, parameters)
    tensors = {
        name: array + mx.random.normal(array.shape, scale=0.2, key=mx.random.key(i))
        for i, (name, array) in enumerate(flatten(theirs.trainable_parameters()).items())
    }
    theirs.load_weights(list(tensors.items()), strict=False)
    (tmp_path / "adapter").mkdir()
    mx.save_safetensors(str(tmp_path / "adapter" / "adapters.safetensors"), tensors)
    words = {"fine_tune_type": "lora", "num_layers": 1, "lora_parameters": parameters}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(words))
    found = load_adapter(tmp_path / "adapter", base)
    expected = np.array(theirs(mx.array(IDS)))
    assert np.abs(expected - base(IDS)).max() > 0.1
    np.testing.assert_allclose(found(IDS), expected, rtol=0, atol=1e-4)
