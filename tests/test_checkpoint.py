"""What is saved comes back: config, parameters, tokenizer, and the state of the training."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from safetensors import safe_open

from llm_explainer import BPETokenizer, ModelConfig, load_backend, load_checkpoint, save_checkpoint
from llm_explainer.checkpoint import load_model, load_trainer_state
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.tokenizer import CharTokenizer, WordTokenizer
from llm_explainer.tree import flatten

nn = load_backend("numpy")
TOKENIZER = CharTokenizer.train(["a small text"])  # 8 characters and <|endoftext|>


def tiny_config(family="gpt2", **changes):
    sizes = {"d_model": 8, "n_heads": 2, "n_layers": 2, "context_length": 6, "vocab_size": 12}
    return ModelConfig.preset("tiny", family=family, **{**sizes, **changes})


def random_model(config):
    """Return a model in which no parameter is all zeros or all ones."""
    model = nn.GPT(config)
    rng = np.random.default_rng(0)
    for array in flatten(model.parameters()).values():
        array[...] = rng.normal(size=array.shape)
    return model


def assert_same_model(found, expected):
    assert found.config == expected.config
    parameters = flatten(expected.parameters())
    assert flatten(found.parameters()).keys() == parameters.keys()
    for name, array in flatten(found.parameters()).items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, parameters[name], err_msg=name)


@st.composite
def configs(draw):
    """Draw any valid config of a small model."""
    try:
        return ModelConfig(
            vocab_size=draw(st.integers(10, 14)),
            context_length=draw(st.integers(1, 5)),
            d_model=draw(st.sampled_from([4, 8])),
            n_layers=draw(st.integers(1, 2)),
            n_heads=draw(st.sampled_from([1, 2])),
            n_kv_heads=draw(st.sampled_from([0, 1])),
            d_ff=draw(st.sampled_from([0, 7])),
            norm=draw(st.sampled_from(["layernorm", "rmsnorm"])),
            norm_position=draw(st.sampled_from(["pre", "post"])),
            position=draw(st.sampled_from(["learned", "sinusoidal", "rope"])),
            activation=draw(st.sampled_from(["relu", "gelu", "silu", "swiglu"])),
            bias=draw(st.booleans()),
            tie_embeddings=draw(st.booleans()),
            dropout=draw(st.sampled_from([0.0, 0.1])),
            rope_theta=draw(st.sampled_from([10_000.0, 500.0])),
            norm_eps=draw(st.sampled_from([1e-5, 1e-6])),
        )
    except ConfigError:
        assume(False)


@given(config=configs())
@settings(deadline=None, max_examples=60)
def test_every_config_comes_back(tmp_path_factory, config):
    model = random_model(config)
    path = save_checkpoint(tmp_path_factory.mktemp("run") / "model", model, TOKENIZER)
    assert_same_model(load_model(path), model)


def test_a_config_from_before_norms_had_a_choice_of_place(tmp_path):
    model = random_model(tiny_config(activation="relu"))  # no family's
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    document = json.loads((path / "config.json").read_text())
    assert document.pop("norm_position") == "pre"
    (path / "config.json").write_text(json.dumps(document))
    (path / "SHA256SUMS").unlink(missing_ok=True)
    assert_same_model(load_model(path), model)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rope_theta", [10_000.0, 500.0])
def test_gpt2_family_comes_back(tmp_path, bias, rope_theta):
    """Biases that are not there are stored as zeros, and are not there again after loading."""
    model = random_model(tiny_config(bias=bias, rope_theta=rope_theta))
    path = save_checkpoint(tmp_path / "model", model, TOKENIZER)
    assert_same_model(load_model(path), model)
    assert json.loads((path / "config.json").read_text())["model_type"] == "gpt2"


def test_zero_biases_stay_biases(tmp_path):
    """A new model's biases are zeros; that must not be taken for having none."""
    model = nn.GPT(tiny_config(bias=True))
    assert load_model(save_checkpoint(tmp_path / "model", model, TOKENIZER)).config.bias


def test_biases_that_others_trained_are_kept(tmp_path):
    """Saved without biases, trained on elsewhere with them: the note in config.json is outdated."""
    path = save_checkpoint(tmp_path / "model", random_model(tiny_config(bias=False)), TOKENIZER)
    note = json.loads((path / "config.json").read_text())["llm_explainer"]
    assert note == {"bias": False}
    trained = random_model(tiny_config(bias=True))
    path = save_checkpoint(path, trained, TOKENIZER, overwrite=True)
    document = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**document, "llm_explainer": note}))
    (path / "SHA256SUMS").unlink()
    assert_same_model(load_model(path), trained)


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_files_are_what_other_software_needs(tmp_path, family):
    path = save_checkpoint(tmp_path / "model", nn.GPT(tiny_config(family)), TOKENIZER)
    config = json.loads((path / "config.json").read_text())
    end = TOKENIZER.special_tokens["<|endoftext|>"]
    assert config["bos_token_id"] == config["eos_token_id"] == end
    assert json.loads((path / "tokenizer_config.json").read_text())["eos_token"] == "<|endoftext|>"
    with safe_open(path / "model.safetensors", framework="np") as file:
        assert file.metadata() == {"format": "pt"}
        names = set(file.keys())
    assert "lm_head.weight" not in names
    if family == "gpt2":
        assert config["n_ctx"] == config["n_positions"] == 6
        assert {"wte.weight", "wpe.weight", "h.0.ln_1.bias", "h.1.attn.c_attn.weight"} <= names
    else:
        assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 10_000
        assert config["tie_word_embeddings"] is True
        assert {"model.embed_tokens.weight", "model.layers.1.self_attn.k_proj.weight"} <= names


@pytest.mark.parametrize(
    "tokenizer",
    [
        TOKENIZER,
        WordTokenizer.train(["a small text"]),
        BPETokenizer.train(["a small text, a small text"], 262),
    ],
    ids=["characters", "words", "bpe"],
)
def test_tokenizer_comes_back(tmp_path, tokenizer):
    model = nn.GPT(tiny_config(vocab_size=tokenizer.vocab_size))
    _, found = load_checkpoint(save_checkpoint(tmp_path / "model", model, tokenizer))
    assert type(found) is type(tokenizer)
    assert found.vocab == tokenizer.vocab
    assert found.encode("a small text<|endoftext|>") == tokenizer.encode(
        "a small text<|endoftext|>"
    )


def test_training_state_comes_back(tmp_path):
    model = random_model(tiny_config())
    optimizer = nn.AdamW(model)
    optimizer.update(model.parameters(), 0.01)
    state = {"step": 7, "losses": [1.5, 1e-17], "best": None, "name": "é"}
    path = save_checkpoint(
        tmp_path / "model", model, TOKENIZER, trainer_state=state, optimizer_state=optimizer.state()
    )
    found, arrays = load_trainer_state(path, model)
    assert found == state
    assert arrays.keys() == optimizer.state().keys()
    for name, array in optimizer.state().items():
        np.testing.assert_array_equal(arrays[name], array, err_msg=name)


def test_training_state_without_arrays(tmp_path):
    path = save_checkpoint(
        tmp_path / "model", nn.GPT(tiny_config()), TOKENIZER, trainer_state={"step": 1}
    )
    assert load_trainer_state(path) == ({"step": 1}, {})


def test_a_model_without_training_state(tmp_path):
    path = save_checkpoint(tmp_path / "model", nn.GPT(tiny_config()), TOKENIZER)
    with pytest.raises(CheckpointError, match=r"has no trainer_state\.json.* start a new run"):
        load_trainer_state(path)


def test_optimizer_of_another_model(tmp_path):
    small, large = nn.GPT(tiny_config()), nn.GPT(tiny_config(d_model=16))
    state = {"trainer_state": {}, "optimizer_state": nn.AdamW(small).state()}
    path = save_checkpoint(tmp_path / "model", small, TOKENIZER, **state)
    with pytest.raises(CheckpointError, match=r"'m\.token_embedding\.weight' has shape \(12, 8\)"):
        load_trainer_state(path, large)
    del state["optimizer_state"]["v.final_norm.bias"]
    save_checkpoint(path, small, TOKENIZER, **state, overwrite=True)
    with pytest.raises(CheckpointError, match=r"'v\.final_norm\.bias' is missing"):
        load_trainer_state(path, small)


def test_a_run_folder_stands_for_its_last_checkpoint(tmp_path):
    for step in (1, 2):
        model = nn.GPT(tiny_config(context_length=step))
        save_checkpoint(tmp_path / f"step-{step}", model, TOKENIZER, trainer_state={"step": step})
    (tmp_path / "last").symlink_to("step-2")
    (tmp_path / "best").symlink_to("step-1")
    assert load_model(tmp_path).config.context_length == 2
    assert load_trainer_state(tmp_path)[0] == {"step": 2}
    assert load_model(tmp_path / "best").config.context_length == 1


@pytest.mark.parametrize(
    ("make_path", "message"),
    [
        (lambda folder: folder / "nothing", "does not exist; a checkpoint is a directory"),
        (lambda folder: folder / "file", "is a file; a checkpoint is a directory"),
        (lambda folder: folder / "loop", "cannot be read|does not exist"),
        (lambda folder: f"{folder}/nu\0ll", "cannot be read|does not exist"),
        (lambda folder: folder, r"has no model\.safetensors; copy it there"),
    ],
    ids=["nothing", "file", "loop", "null", "empty"],
)
def test_paths_that_are_no_checkpoint(tmp_path, make_path, message):
    (tmp_path / "file").write_text("hello")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(make_path(tmp_path))
    assert "\n" not in str(caught.value)


def test_a_tokenizer_that_the_model_cannot_follow(tmp_path):
    model = nn.GPT(tiny_config(vocab_size=8))
    with pytest.raises(CheckpointError, match=r"tokenizer has 9 tokens .* vocab_size is 8"):
        save_checkpoint(tmp_path / "model", model, TOKENIZER)
    path = save_checkpoint(tmp_path / "model", nn.GPT(tiny_config()), TOKENIZER)
    WordTokenizer.train(["one two three four five six seven eight nine ten eleven"]).save(
        path / "tokenizer.json"
    )
    (path / "SHA256SUMS").unlink()
    with pytest.raises(CheckpointError, match="they do not belong together"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"trainer_state": {"loss": float("nan")}}, r"trainer_state\.json cannot hold"),
        ({"trainer_state": {"path": Path()}}, r"trainer_state\.json cannot hold"),
        ({"optimizer_state": {"m.x": np.zeros(2)}}, r"m\.x is float64; checkpoints hold float32"),
    ],
)
def test_states_that_cannot_be_saved(tmp_path, state, message):
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint(tmp_path / "model", nn.GPT(tiny_config()), TOKENIZER, **state)
    assert list(tmp_path.iterdir()) == []


def test_a_config_that_could_not_be_read_again(tmp_path):
    config = tiny_config(rope_theta=10**400)  # unused without rotations, but no float
    with pytest.raises(CheckpointError, match=r"config\.json: llm_explainer: rope_theta is 1000"):
        save_checkpoint(tmp_path / "model", nn.GPT(config), TOKENIZER)
    assert list(tmp_path.iterdir()) == []


def test_a_float64_model_is_not_rounded_silently(tmp_path):
    model = nn.GPT(tiny_config()).astype(np.float64)
    with pytest.raises(CheckpointError, match="float64; checkpoints hold float32"):
        save_checkpoint(tmp_path / "model", model, TOKENIZER)


def test_public_names_are_imported_when_used():
    """``--help`` imports the package, and must not wait for NumPy."""
    code = (
        "import sys, llm_explainer\n"
        "assert 'numpy' not in sys.modules\n"
        "for name in llm_explainer.__all__: getattr(llm_explainer, name)\n"
        "assert set(llm_explainer.__all__) <= set(dir(llm_explainer))\n"
        "try: llm_explainer.nothing\n"
        "except AttributeError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "module 'llm_explainer' has no attribute 'nothing'\n"
