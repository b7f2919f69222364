"""The keys of other people's config.json: followed, known not to matter, or refused by name."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_checkpoint import TOKENIZER, assert_same_model, random_model, tiny_config
from test_checkpoint_foreign import change_config, change_tensors

from llm_explainer.checkpoint import load_model, save_checkpoint
from llm_explainer.errors import CheckpointError, LLMExplainerWarning


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves a model of a family as others have it: without digests."""

    def save(family, **changes):
        changes.setdefault("tie_embeddings", True)
        model = random_model(tiny_config(family, **changes))
        path = save_checkpoint(tmp_path / "model", model, TOKENIZER, overwrite=True)
        (path / "SHA256SUMS").unlink()
        return path, model

    return save


REFUSED = {
    "every position sees all": ({"is_causal": False}, "is_causal is False; true is supported"),
    "a number for true": ({"is_causal": 1}, "is_causal is 1; true is supported"),
    "cross attention": ({"add_cross_attention": True}, "false is supported"),
    "two halves": ({"is_encoder_decoder": True}, "is_encoder_decoder is True; false"),
    "chunks": ({"chunk_size_feed_forward": 4}, "chunk_size_feed_forward is 4; 0 is supported"),
    "layers of their own": ({"per_layer_config": {"0": {}}}, "per_layer_config is .* not known"),
    "pruned heads": ({"pruned_heads": {"0": [1]}}, "pruned_heads is "),
    "code": ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map is .* not known here"),
    "a soft cap": ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0; it is not"),
    "what nobody knows": ({"logit_softcap": 30.0}, "logit_softcap is 30.0; it is not known here"),
}


@pytest.mark.parametrize("family", ["gpt2", "llama", None])
@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_changes_the_model_is_refused(saved, family, changes, message):
    kind = {"family": family} if family else {"family": "gpt2", "position": "sinusoidal"}
    path, _ = saved(**kind)
    change_config(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_model(path)
    change_config(path, **dict.fromkeys(changes))  # null counts as absent
    load_model(path)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_window_where_transformers_has_none_is_refused(saved, family):
    path, _ = saved(family)
    change_config(path, sliding_window=8)
    with pytest.raises(CheckpointError, match="sliding_window is 8; it is not known here"):
        load_model(path)


def test_what_cannot_matter_is_left_alone(saved):
    path, model = saved("gpt2")
    change_config(
        path,
        architectures=["GPT2Model"],
        torch_dtype="float16",
        use_cache=False,
        n_ctx=1024,
        task_specific_params={"text-generation": {"do_sample": True}},
        summary_type="cls_index",
        repetition_penalty=1.1,
        reorder_and_upcast_attn=True,
        _name_or_path="somewhere",
    )
    assert_same_model(load_model(path), model)


def test_two_names_of_one_key(saved):
    path, model = saved("gpt2")
    document = json.loads((path / "config.json").read_text())
    change_config(path, n_head=..., num_attention_heads=document["n_head"])
    assert_same_model(load_model(path), model)  # the other name alone
    change_config(path, hidden_size=document["n_embd"])
    assert_same_model(load_model(path), model)  # both, and they agree
    change_config(path, num_hidden_layers=document["n_layer"] - 1)
    with pytest.raises(CheckpointError, match=r"num_hidden_layers is 1; n_layer, another name"):
        load_model(path)


def test_the_three_places_of_rope_theta(saved):
    path, _ = saved("llama", rope_theta=500.0)
    alone = {"rope_theta": ..., "rope_parameters": ...}
    change_config(path, **alone, rope_scaling={"rope_type": "default", "rope_theta": 500.0})
    assert load_model(path).config.rope_theta == 500.0
    change_config(path, rope_theta=10_000.0)
    with pytest.raises(CheckpointError, match=r"say \[10000.0, 500.0\]; they must agree"):
        load_model(path)
    change_config(path, rope_theta=..., rope_scaling={"factor": 2.0})
    with pytest.raises(CheckpointError, match=r"rope_scaling: factor is 2.0; of the rule default"):
        load_model(path)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("gpt2", {"d_ff": 20}),
        ("gpt2", {"tie_embeddings": False}),
        ("llama", {"bias": True}),
        ("llama", {"bias": True, "n_kv_heads": 1, "tie_embeddings": False}),
    ],
)
def test_what_transformers_can_express_is_saved_as_that(saved, family, changes):
    path, model = saved(family, **changes)
    document = json.loads((path / "config.json").read_text())
    assert document["model_type"] == family
    assert "llm_explainer" not in document
    assert_same_model(load_model(path), model)


@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.int64])
def test_masks_beside_the_parameters_are_of_any_type(saved, kind):
    path, model = saved("gpt2")
    masks = {f"h.{i}.attn.bias": np.tril(np.ones((1, 1, 6, 6))).astype(kind) for i in range(2)}
    change_tensors(path, lambda tensors: {**tensors, **masks})
    assert_same_model(load_model(path), model)
    change_tensors(path, lambda tensors: {**tensors, "ln_f.weight": np.ones(8, kind)})
    with pytest.raises(CheckpointError, match=r"'ln_f\.weight' has type .*; F32, F16"):
        load_model(path)


@pytest.mark.parametrize(
    ("family", "renamed"),
    [
        ("gpt2", lambda name: f"model.{name}"),  # mlx-lm's
        ("gpt2", lambda name: f"transformer.{name}"),
        ("llama", lambda name: name.removeprefix("model.")),  # a model without its head
    ],
)
def test_prefixes(saved, family, renamed):
    path, model = saved(family)
    change_tensors(path, lambda tensors: {renamed(k): v for k, v in tensors.items()})
    assert_same_model(load_model(path), model)


def test_double_precision_becomes_float32(saved):
    path, model = saved("llama")
    tensors = load_file(path / "model.safetensors")
    doubles = {name: array.astype(np.float64) for name, array in tensors.items()}
    save_file(doubles, path / "model.safetensors")
    with pytest.warns(LLMExplainerWarning, match=r"are float64; they are used as float32"):
        assert_same_model(load_model(path), model)
    first = next(iter(doubles))
    save_file({**doubles, first: doubles[first] + 1e300}, path / "model.safetensors")
    with pytest.raises(CheckpointError, match="holds NaN or infinity"):
        load_model(path)
