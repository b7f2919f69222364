"""Adapters on disk: what is saved comes back, on its own base and on no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlx_twins import copies, mlx_backend
from small_models import FAMILIES, random_model, random_tokens, small_config

from llm_explainer import (
    BPETokenizer,
    LoRAConfig,
    apply_lora,
    load_checkpoint,
    merge_lora,
    numpy_backend,
    save_checkpoint,
)
from llm_explainer.batch import Batch
from llm_explainer.checkpoint import (
    base_of,
    load_adapter,
    load_config,
    load_model,
    load_trainer_state,
    save_adapter,
)
from llm_explainer.checkpoint.tensors import write_tensors
from llm_explainer.errors import CheckpointError, LLMExplainerWarning
from llm_explainer.tree import flatten

GOLDEN = Path(__file__).parent / "golden"
BACKENDS = {"numpy": numpy_backend, "mlx": mlx_backend}
pytestmark = pytest.mark.filterwarnings("ignore:the adapters of a head that is tied")
each_backend = pytest.mark.parametrize("backend", BACKENDS)
each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
CONFIG = LoRAConfig(rank=2, dora=True, targets=["all-linear", "head"], rank_pattern="k_proj=1")


def saved(folder: Path, backend: str = "numpy", **changes: Any) -> tuple[Any, Any, Path]:
    """Return a base, the same with random adapters, and the directory of the adapters."""
    base = random_model(small_config(**changes), np.float32)
    save_checkpoint(folder / "base", base)
    base = load_model(folder / "base", backend)
    adapted = apply_lora(base, CONFIG, seed=1)
    rng = np.random.default_rng(2)
    drawn = {
        name: array + rng.normal(scale=0.2, size=array.shape).astype(np.float32)
        for name, array in copies(adapted.parameters()).items()
        if "lora" in name or "magnitude" in name
    }
    adapted.update({**flatten(adapted.parameters()), **drawn})
    return base, adapted, save_adapter(folder / "adapter", adapted, base=folder / "base")


@each_backend
@each_family
def test_they_come_back_on_their_base(tmp_path: Path, backend: str, family: dict[str, Any]) -> None:
    base, adapted, path = saved(tmp_path, backend, **family)
    tokens = random_tokens(base.config, 2, 5)
    expected = np.asarray(adapted(tokens))
    assert base_of(path) == (tmp_path / "base").resolve()
    assert load_config(path) == base.config
    for model in (load_adapter(path, base), load_model(path, backend)):
        assert model.lora == CONFIG
        assert list(flatten(model.trainable())) == list(flatten(adapted.trainable()))
        np.testing.assert_array_equal(np.asarray(model(tokens)), expected)
    kept = copies(load_model(tmp_path / "base").parameters())
    for name, array in copies(base.parameters()).items():
        np.testing.assert_array_equal(array, kept[name])


@each_backend
def test_training_goes_on_from_the_same_bytes(tmp_path: Path, backend: str) -> None:
    nn = BACKENDS[backend]
    _, model, path = saved(tmp_path, backend)
    batch = Batch(*(random_tokens(model.config, 4, 5, seed) for seed in (0, 1)))
    optimizer = nn.AdamW(model)
    step = nn.TrainStep(model, optimizer, workers=1)
    step([batch], 0.01)
    path = save_adapter(
        tmp_path / "run" / "step-000001",
        model,
        base=tmp_path / "base",
        trainer_state={"steps": optimizer.steps},
        optimizer_state=optimizer.state(),
    )
    again = load_model(path, backend)
    state, arrays = load_trainer_state(path, again)
    resumed = nn.AdamW(again)
    resumed.load_state(state["steps"], arrays)
    steps = [step, nn.TrainStep(again, resumed, workers=1)]
    for _ in range(3):
        assert len({each([batch], 0.01) for each in steps}) == 1
    ends = [copies(each.trainable()) for each in (model, again)]
    for name, array in ends[0].items():
        np.testing.assert_array_equal(array, ends[1][name])
    save_adapter(path, again, base=tmp_path / "base", overwrite=True)
    (path / "mine.txt").touch()
    with pytest.raises(CheckpointError, match=r"holds 'mine\.txt', .*not overwritten"):
        save_adapter(path, again, base=tmp_path / "base", overwrite=True)


def test_a_tokenizer_of_its_own_or_the_base_s(tmp_path: Path) -> None:
    base, adapted, _ = saved(tmp_path, vocab_size=264)
    tokenizers = [BPETokenizer.train([text * 9], 264) for text in ("once upon a time ", "no no ")]
    save_checkpoint(tmp_path / "base", base, tokenizers[0], overwrite=True)
    save_adapter(tmp_path / "one", adapted, base=tmp_path / "base")
    for _ in range(2):  # the second replaces the first
        two = {"base": tmp_path / "base", "tokenizer": tokenizers[1], "overwrite": True}
        save_adapter(tmp_path / "two", adapted, **two)
    for name, tokenizer in zip(("one", "two"), tokenizers, strict=True):
        _, found = load_checkpoint(tmp_path / name)
        assert found.encode("once no") == tokenizer.encode("once no")


def test_a_moved_folder_finds_its_base_and_a_lost_one_is_looked_for(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    saved(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    path = tmp_path / "there" / "adapter"
    assert base_of(path).resolve() == tmp_path / "there" / "base"
    load_model(path)
    (tmp_path / "there" / "base").rename(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"base .* no longer at .*there/base or .*here/base"):
        load_model(path)
    assert load_adapter(path, load_model(tmp_path / "elsewhere")).lora == CONFIG


def test_merged_adapters_are_an_ordinary_checkpoint(tmp_path: Path) -> None:
    base, adapted, _ = saved(tmp_path)
    tokens = random_tokens(base.config, 2, 5)
    merged = merge_lora(adapted)
    found = load_model(save_checkpoint(tmp_path / "merged", merged))
    np.testing.assert_array_equal(found(tokens), merged(tokens))
    assert flatten(found.trainable()).keys() == flatten(merged.parameters()).keys()
    with pytest.raises(CheckpointError, match="made for another base"):
        load_adapter(tmp_path / "adapter", merged)
    with pytest.raises(CheckpointError, match="has adapters; use save_adapter, or merge_lora"):
        save_checkpoint(tmp_path / "model", adapted)
    with pytest.raises(CheckpointError, match="has no adapters; use save_checkpoint"):
        save_adapter(tmp_path / "model", merged, base=tmp_path / "base")


@each_backend
def test_adapters_on_a_merged_model_know_it_for_their_base(tmp_path: Path, backend: str) -> None:
    base, adapted, _ = saved(tmp_path, backend)
    merged = merge_lora(adapted)
    save_checkpoint(tmp_path / "merged", merged)
    second = apply_lora(merged, CONFIG, seed=3)
    path = save_adapter(tmp_path / "second", second, base=tmp_path / "merged")
    load_model(path, backend)
    with pytest.raises(CheckpointError, match="made for another base"):
        load_adapter(path, base)


def test_what_does_not_belong_is_refused_by_name(tmp_path: Path) -> None:
    base, adapted, path = saved(tmp_path)
    other = random_model(base.config, np.float32, seed=5)
    with pytest.raises(CheckpointError, match=r"for another base than this model: .*/base$"):
        load_adapter(path, other)
    adapted.blocks[0].attention_norm.unfreeze()
    with pytest.raises(CheckpointError, match=r"'blocks\.0\.attention_norm\.weight' of the base"):
        save_adapter(tmp_path / "b", adapted, base=tmp_path / "base")
    (path / "lora.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="is not what was saved"):
        load_adapter(path, base)


def write_foreign(folder: Path, words: dict[str, Any], tensors: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(words))
    name = "adapter_model" if "peft_type" in words else "adapters"
    write_tensors(folder / f"{name}.safetensors", tensors)
    return folder


PEFT = {"peft_type": "LORA", "r": 1, "lora_alpha": 2}
LAYER = "base_model.model.model.layers.0.self_attn.q_proj"
PAIR = {
    f"{LAYER}.lora_A.weight": np.ones((1, 8), np.float32),
    f"{LAYER}.lora_B.weight": np.ones((8, 1), np.float32),
}
FOREIGN: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a kind": ({"peft_type": "IA3"}, {}, "peft_type is 'IA3'; LORA is supported"),
    "biases": ({"bias": "all"}, {}, "bias is 'all'; none is supported"),
    "saved modules": ({"modules_to_save": ["lm_head"]}, {}, "modules_to_save is"),
    "pissa": ({"init_lora_weights": "pissa"}, {}, "init_lora_weights is 'pissa'"),
    "an embedding": (
        {},
        {"base_model.model.model.embed_tokens.lora_embedding_A": np.ones((1, 7), np.float32)},
        "embed_tokens.lora_embedding_A' is no tensor of a LoRA adapter",
    ),
    "a block too many": (
        {},
        {name.replace("layers.0", "layers.9"): array for name, array in PAIR.items()},
        r"layers\.9\.self_attn\.q_proj' is no layer of this base",
    ),
    "a pattern": ({"alpha_pattern": {"q.*": 3}}, {}, "alpha_pattern is"),
    "another width": (
        {},
        {f"{LAYER}.lora_B.weight": np.ones((9, 1), np.float32)},
        r"has B of shape \(9, 1\), and here it is \(8, 1\)",
    ),
    "no scale": ({"lora_alpha": "much"}, {}, "lora_alpha is 'much'; a number is expected"),
    "a rank of nothing": (
        {},
        {
            f"{LAYER}.lora_A.weight": np.ones((0, 8), np.float32),
            f"{LAYER}.lora_B.weight": np.ones((8, 0), np.float32),
        },
        r"has A of shape \(0, 8\), and here it is \(1, 8\)",
    ),
}


@pytest.mark.parametrize(("words", "tensors", "message"), FOREIGN.values(), ids=FOREIGN)
def test_foreign_adapters_that_ours_cannot_be_are_refused(
    tmp_path: Path, words: dict[str, Any], tensors: dict[str, Any], message: str
) -> None:
    base = random_model(small_config(**FAMILIES["llama"]), np.float32)
    path = write_foreign(tmp_path / "theirs", {**PEFT, **words}, {**PAIR, **tensors})
    with pytest.raises(CheckpointError, match=message) as caught:
        load_adapter(path, base)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match=r"base of the adapter .* is not named"):
        base_of(path)


@pytest.mark.parametrize("name", ["gpt2-dora", "gpt2-attention", "llama-rslora", "llama-q-v"])
def test_logits_are_those_of_peft(name: str, tmp_path: Path) -> None:
    """With adapters that PEFT made (golden/make_adapters.py), read and written again."""
    path = GOLDEN / "adapters" / name
    golden, model = np.load(path / "logits.npz"), load_model(path)
    np.testing.assert_allclose(model(golden["ids"]), golden["logits"], rtol=0, atol=1e-4)
    assert np.abs(load_model(base_of(path))(golden["ids"]) - golden["logits"]).max() > 0.01
    again = load_model(save_adapter(tmp_path / "ours", model, base=base_of(path)))
    np.testing.assert_array_equal(again(golden["ids"]), model(golden["ids"]))


@pytest.mark.parametrize("rslora", [False, True])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_both_foreign_forms_hold_the_same_adapters(
    tmp_path: Path, family: str, rslora: bool
) -> None:
    """What others would read, without our own settings and arrays."""
    changes = {"d_ff": 0, **FAMILIES[family]}
    base = random_model(small_config(**changes), np.float32)
    lora = LoRAConfig(
        rank=2, rslora=rslora, dora=True, rank_pattern="v_proj=1", alpha_pattern="k_proj=3"
    )
    adapted = apply_lora(base, lora)
    for i, array in enumerate(flatten(adapted.trainable()).values()):
        array += np.random.default_rng(i).normal(scale=0.2, size=array.shape).astype(np.float32)
    path = save_adapter(tmp_path / "ours", adapted, base="somebody/model")
    tokens = random_tokens(base.config, 2, 5)
    words = json.loads((path / "adapter_config.json").read_text())
    assert words["base_model_name_or_path"] == "somebody/model"
    forms = {
        "adapter_model": ("peft_type", "lora_alpha", "alpha_pattern", "use_rslora"),
        "adapters": ("fine_tune_type", "lora_parameters"),
    }
    for name, keys in forms.items():
        folder = tmp_path / name
        folder.mkdir()
        shutil.copy(path / f"{name}.safetensors", folder)
        (folder / "adapter_config.json").write_text(json.dumps({key: words[key] for key in keys}))
        found = load_adapter(folder, base)
        np.testing.assert_allclose(found(tokens), adapted(tokens), rtol=0, atol=1e-5)


def test_a_tied_head_s_adapters_get_no_file_for_mlx_lm_and_a_word(tmp_path: Path) -> None:
    with pytest.warns(LLMExplainerWarning, match="tied to the token embedding .* mlx-lm would"):
        _, _, path = saved(tmp_path)
    assert (path / "adapter_model.safetensors").is_file()
    assert not (path / "adapters.safetensors").exists()
