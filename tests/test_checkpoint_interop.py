"""Our checkpoints in transformers and mlx-lm, and theirs here; run where these are installed."""

import numpy as np
import pytest

from llm_explainer import BPETokenizer, ModelConfig, load_backend, load_checkpoint, save_checkpoint
from llm_explainer.checkpoint import load_model
from llm_explainer.errors import LLMExplainerWarning
from llm_explainer.tree import flatten

# Their imports and files warn about matters of their own.
pytestmark = pytest.mark.filterwarnings("ignore")

nn = load_backend("numpy")
TOKENIZER = BPETokenizer.train(["once upon a time, " * 3], 264)
IDS = np.random.default_rng(0).integers(0, TOKENIZER.vocab_size, (2, 24))
SIZES = {"d_model": 32, "n_heads": 4, "n_layers": 3, "context_length": 24, "d_ff": 0}
CASES = {
    "gpt2": ("gpt2", {}),
    "gpt2, no biases": ("gpt2", {"bias": False}),
    "llama, tied": ("llama", {"n_kv_heads": 4}),
    "llama, untied": ("llama", {"tie_embeddings": False}),
    "llama, grouped, tied": ("llama", {"n_kv_heads": 2, "rope_theta": 700.0}),
    "llama, grouped, untied": (
        "llama",
        {"n_kv_heads": 1, "tie_embeddings": False, "rope_theta": 700.0, "norm_eps": 1e-3},
    ),
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def saved(request, tmp_path):
    """Return (path, model) of a checkpoint whose every parameter shows in the logits."""
    family, changes = request.param
    config = ModelConfig.preset(
        "tiny", family=family, **{**SIZES, "vocab_size": TOKENIZER.vocab_size, **changes}
    )
    model = nn.GPT(config)
    rng = np.random.default_rng(1)
    for array in flatten(model.parameters()).values():
        array[...] = (array.ndim == 1) + 0.15 * rng.normal(size=array.shape)
    return save_checkpoint(tmp_path / "model", model, TOKENIZER), model


def test_transformers_loads_ours(saved):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    path, model = saved
    theirs, info = transformers.AutoModelForCausalLM.from_pretrained(path, output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    with torch.no_grad():
        logits = theirs.eval()(torch.from_numpy(IDS)).logits.numpy()
    np.testing.assert_allclose(logits, model(IDS), rtol=0, atol=1e-5)
    text = "once upon a time<|endoftext|>"
    assert transformers.AutoTokenizer.from_pretrained(path).encode(text) == TOKENIZER.encode(text)


def test_mlx_lm_loads_ours(saved):
    mlx_lm = pytest.importorskip("mlx_lm")
    mx = pytest.importorskip("mlx.core")
    path, model = saved
    theirs, tokenizer = mlx_lm.load(str(path))
    logits = np.array(theirs(mx.array(IDS)))
    np.testing.assert_allclose(logits, model(IDS), rtol=0, atol=1e-5)
    assert tokenizer.encode("once upon") == TOKENIZER.encode("once upon")


def test_what_transformers_saves_again_loads_here(saved, tmp_path):
    transformers = pytest.importorskip("transformers")
    path, model = saved
    transformers.AutoModelForCausalLM.from_pretrained(path).save_pretrained(tmp_path / "theirs")
    transformers.AutoTokenizer.from_pretrained(path).save_pretrained(tmp_path / "theirs")
    found, tokenizer = load_checkpoint(tmp_path / "theirs")
    assert found.config == model.config
    np.testing.assert_array_equal(found(IDS), model(IDS))
    assert tokenizer.encode("once upon<|endoftext|>") == TOKENIZER.encode("once upon<|endoftext|>")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_and_shards_of_transformers_load_here(saved, tmp_path, dtype):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(saved[0], dtype=dtype)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert not (tmp_path / "theirs" / "model.safetensors").exists()
    with torch.no_grad():
        logits = theirs.float().eval()(torch.from_numpy(IDS)).logits.numpy()
    with pytest.warns(LLMExplainerWarning, match=f"are {dtype}; they are used as float32"):
        model = load_model(tmp_path / "theirs")
    np.testing.assert_allclose(model(IDS), logits, rtol=0, atol=1e-5)
