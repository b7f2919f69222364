"""Directories that other software wrote: what we read, and what we refuse."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from test_checkpoint import TOKENIZER, assert_same_model, random_model, tiny_config

from llm_explainer.checkpoint import load_checkpoint, load_model, save_checkpoint
from llm_explainer.errors import CheckpointError, LLMExplainerWarning, TokenizerError


@pytest.fixture(params=["gpt2", "llama"])
def foreign(request, tmp_path):
    """Return (directory, model) of a checkpoint without digests, as others have them."""
    model = random_model(tiny_config(request.param, tie_embeddings=request.param == "gpt2"))
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    return path, model


def change_config(path, **changes):
    """Change values of config.json; ``...`` removes one."""
    document = {**json.loads((path / "config.json").read_text()), **changes}
    document = {key: value for key, value in document.items() if value is not ...}
    (path / "config.json").write_text(json.dumps(document))


def change_tensors(path, change):
    """Rewrite the tensors as ``change`` of them."""
    save_file(change(load_file(path / "model.safetensors")), path / "model.safetensors")


def write_bfloat16(path, tensors):
    """Write a safetensors file by hand, since NumPy has no bfloat16."""
    index, data = {}, b""
    for name, array in tensors.items():
        upper_halves = (array.view(np.uint32) >> 16).astype("<u2").tobytes()
        index[name] = {
            "dtype": "BF16",
            "shape": array.shape,
            "data_offsets": [len(data), len(data) + len(upper_halves)],
        }
        data += upper_halves
    header = json.dumps(index).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)


def test_names_with_the_prefix_of_transformers(tmp_path):
    model = random_model(tiny_config())
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    change_tensors(path, lambda tensors: {f"transformer.{k}": v for k, v in tensors.items()})
    assert_same_model(load_model(path), model)
    change_tensors(
        path, lambda tensors: {**tensors, "wte.weight": tensors["transformer.wte.weight"]}
    )
    with pytest.raises(CheckpointError, match=r"are one tensor"):
        load_model(path)


def test_tables_beside_the_parameters_are_left_out(foreign):
    path, model = foreign
    tables = {
        "h.0.attn.bias": np.ones((1, 1, 6, 6), np.float32),
        "h.1.attn.masked_bias": np.full((), -1e4, np.float32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(2, np.float32),
    }
    change_tensors(path, lambda tensors: {**tensors, **tables})
    assert_same_model(load_model(path), model)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_a_tied_head_that_is_stored_again(tmp_path, family):
    model = random_model(tiny_config(family))
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    head = np.ascontiguousarray(model.token_embedding.weight)
    change_tensors(path, lambda tensors: {**tensors, "lm_head.weight": head})
    assert_same_model(load_model(path), model)
    change_tensors(path, lambda tensors: {**tensors, "lm_head.weight": head + 1})
    with pytest.raises(CheckpointError, match=r"'lm_head\.weight' is no part of the model"):
        load_model(path)


def test_half_precision_becomes_float32(foreign):
    path, model = foreign
    tensors = load_file(path / "model.safetensors")
    halves = {name: array.astype(np.float16) for name, array in tensors.items()}
    save_file(halves, path / "model.safetensors")
    with pytest.warns(LLMExplainerWarning, match=r"are float16; they are used as float32"):
        found = load_model(path)
    rounded = model.token_embedding.weight.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(found.token_embedding.weight, rounded)

    write_bfloat16(path / "model.safetensors", tensors)
    with pytest.warns(LLMExplainerWarning, match=r"are bfloat16; they are used as float32"):
        found = load_model(path)
    bits = model.token_embedding.weight.view(np.uint32) & 0xFFFF0000
    np.testing.assert_array_equal(found.token_embedding.weight, bits.view(np.float32))
    qkv = model.blocks[1].attention.qkv_proj.weight
    np.testing.assert_allclose(found.blocks[1].attention.qkv_proj.weight, qkv, rtol=2**-7)


def write_shards(path):
    """Split model.safetensors into two files and an index."""
    tensors = load_file(path / "model.safetensors")
    names = sorted(tensors)
    homes = {name: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, name in enumerate(names)}
    for file in set(homes.values()):
        save_file({n: tensors[n] for n in names if homes[n] == file}, path / file)
    (path / "model.safetensors").unlink()
    index = path / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": homes}))
    return index, homes


def test_a_model_in_several_files(foreign):
    path, model = foreign
    index, homes = write_shards(path)
    assert_same_model(load_model(path), model)
    shutil.copyfile(path / "model-00001-of-00002.safetensors", path / "again.safetensors")
    index.write_text(json.dumps({"weight_map": {**homes, "x": "again.safetensors"}}))
    with pytest.raises(CheckpointError, match="is in another file as well"):
        load_model(path)
    index.write_text("{}")
    with pytest.raises(CheckpointError, match=r"index\.json names no files"):
        load_model(path)
    index.write_text(json.dumps({"weight_map": homes}))
    (path / "model-00002-of-00002.safetensors").rename(path / "elsewhere")
    with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors is missing"):
        load_model(path)
    for bad in ("../model.safetensors", "/etc/passwd", ".safetensors", 3, None, ["x"]):
        index.write_text(json.dumps({"weight_map": {**homes, "x": bad}}))
        with pytest.raises(
            CheckpointError, match=r"x is .*the name of a safetensors file beside it"
        ):
            load_model(path)


def test_null_and_missing_settings_take_their_usual_values(tmp_path):
    model = random_model(tiny_config("llama", norm_eps=1e-6, tie_embeddings=False))
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    usual = ("num_key_value_heads", "head_dim", "rms_norm_eps", "rope_theta", "rope_parameters")
    change_config(path, rope_scaling=None, mlp_bias=None, **dict.fromkeys(usual, ...))
    change_config(path, tie_word_embeddings=...)  # untied, to transformers
    assert_same_model(load_model(path), model)


def test_older_rope_theta_alone(tmp_path):
    model = random_model(tiny_config("llama", rope_theta=500.0))
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    change_config(path, rope_parameters=...)
    assert load_model(path).config.rope_theta == 500.0


@pytest.mark.parametrize(
    ("changes", "config"),
    [
        ({"activation_function": "relu"}, {"activation": "relu"}),
        ({"activation_function": "gelu_pytorch_tanh"}, {"activation": "gelu"}),
        ({"resid_pdrop": 0.25}, {"dropout": 0.25}),
        ({"layer_norm_epsilon": 1e-3}, {"norm_eps": 1e-3}),
    ],
)
def test_gpt2_with_other_choices(tmp_path, changes, config):
    model = random_model(tiny_config())
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    change_config(path, **changes)
    assert load_model(path).config == tiny_config(**config)


GPT2_REFUSED = {
    "another kind": ({"model_type": "gemma"}, "gpt2 or llama or mistral or .* is supported"),
    "no kind": ({"model_type": ...}, "model_type is missing"),
    "exact gelu": ({"activation_function": "gelu"}, "gelu_new or"),
    "other scaling": ({"scale_attn_by_inverse_layer_idx": True}, "false is supported"),
    "no scaling": ({"scale_attn_weights": False}, "true is supported"),
    "quantised": ({"quantization_config": {"bits": 4}}, "quantised weights are not supported"),
    "quantised by mlx": ({"quantization": {"bits": 4}}, "quantised weights are not supported"),
    "a missing size": ({"n_embd": ...}, "n_embd is missing; a whole number"),
    "a size as text": ({"n_embd": "8"}, "n_embd is '8'; a whole number"),
    "a size of true": ({"n_layer": True}, "n_layer is True; a whole number"),
    "a huge width": ({"n_embd": 10**18}, "a whole number from 1 to 16777216"),
    "a large width": ({"n_embd": 1 << 24}, "describes .* parameters, and the files hold"),
    "a large vocabulary": ({"vocab_size": 1 << 24}, "describes .* parameters"),
    "many layers": ({"n_layer": 1 << 24}, "describes .* parameters"),
    "a long context": ({"n_positions": 1 << 24}, "describes .* parameters"),
    "one more layer": ({"n_layer": 3}, r"tensor 'h\.2\.ln_1\.weight' is missing"),
    "one layer less": ({"n_layer": 1}, r"tensor 'h\.1\..*' is no part of the model"),
    "another vocabulary": ({"vocab_size": 13}, r"'wte\.weight' has shape \(12, 8\)"),
    "heads that do not divide": ({"n_head": 3}, "not divisible by n_heads 3"),
    "dropout of 2": ({"resid_pdrop": 2}, "dropout is 2.0"),
    "dropout as text": ({"resid_pdrop": "0"}, "resid_pdrop is '0'; a number is expected"),
    "a number that is no float": ({"layer_norm_epsilon": 10**400}, "a number is expected"),
    "an unknown note": ({"llm_explainer": {"nothing": 1}}, "nothing is 1; known are vocab_size"),
    "a note that is no object": ({"llm_explainer": [1]}, "a JSON object is expected"),
    "a head that is missing": ({"tie_word_embeddings": False}, r"'lm_head\.weight' is missing"),
}
LLAMA_REFUSED = {
    "rope scaling": (
        {"rope_scaling": {"rope_type": "llama3", "factor": 8}},
        "low_freq_factor is missing; a number is expected",
    ),
    "older rope scaling": ({"rope_scaling": {"type": "dynamic"}}, "or yarn is supported"),
    "new rope scaling": ({"rope_parameters": {"rope_type": "longrope"}}, "or yarn is"),
    "part of a head": ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "1.0 is supported"),
    "two thetas": ({"rope_theta": 5.0}, "must agree"),
    "some biases": ({"attention_bias": True}, "the same as attention_bias"),
    "a width of heads": (
        {"head_dim": 8},
        r"'model\.layers\.0\.self_attn\.q_proj\.weight' has shape",
    ),
    "another gate": ({"hidden_act": "gelu"}, "silu or swish is supported"),
    "key heads": ({"num_key_value_heads": 3}, "not divisible by n_kv_heads 3"),
    "a long context": ({"max_position_embeddings": 1 << 24}, "asks for a context of 16777216"),
    "a tied head": ({"tie_word_embeddings": True}, r"'lm_head\.weight' is no part"),
}


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        pytest.param(family, *case, id=f"{family}, {name}")
        for family, cases in (("gpt2", GPT2_REFUSED), ("llama", LLAMA_REFUSED))
        for name, case in cases.items()
    ],
)
def test_configs_that_are_refused(tmp_path, family, changes, message):
    """No size is believed before the files bear it out, so this needs neither memory nor time."""
    model = random_model(tiny_config(family, tie_embeddings=family == "gpt2"))
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    (path / "SHA256SUMS").unlink()
    change_config(path, **changes)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: {k: v for k, v in t.items() if "ln_f.bias" not in k},
            r"'ln_f\.bias' is missing",
        ),
        (lambda t: {**t, "extra": np.ones(2, np.float32)}, "'extra' is no part of the model"),
        (
            lambda t: {**t, "ln_f.bias": t["ln_f.bias"][:4]},
            r"has shape \(4,\), and by config\.json",
        ),
        (lambda t: {**t, "ln_f.bias": t["ln_f.bias"].astype(np.int64)}, "has type I64; F32, F16"),
        (
            lambda t: {**t, "ln_f.bias": t["ln_f.bias"] * np.nan},
            r"ln_f\.bias holds NaN or infinity",
        ),
    ],
    ids=["missing", "extra", "shape", "type", "nan"],
)
def test_tensors_that_do_not_fit(tmp_path, change, message):
    path = save_checkpoint(tmp_path / "model", random_model(tiny_config()), TOKENIZER)
    (path / "SHA256SUMS").unlink()
    change_tensors(path, change)
    with pytest.raises(CheckpointError, match=message):
        load_model(path)


def test_a_pickle_is_named_and_not_opened(foreign):
    path, _ = foreign
    (path / "model.safetensors").rename(path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"'pytorch_model\.bin' may be a pickle"):
        load_model(path)


def test_tokenizers_that_cannot_be_used(foreign):
    path, _ = foreign
    (path / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    with pytest.raises(TokenizerError, match=r"tokenizer\.json"):
        load_checkpoint(path)
    (path / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json; put the one there"):
        load_checkpoint(path)
