"""Damaged directories of every type of model: each is refused in one line, or is still a model.

DAMAGED_DIRECTORIES=10000 damages as many, by hand, and holds each to 5 seconds and all to 1 GB.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from small_models import SMALL, SWITCHES, randomize
from test_checkpoint_damage import DAMAGES, Bomb

from llm_explainer import BPETokenizer, ModelConfig, load_checkpoint, save_checkpoint
from llm_explainer.checkpoint.export.mlx_lm import export_mlx
from llm_explainer.checkpoint.generation_settings import read_generation_settings
from llm_explainer.errors import LLMExplainerError
from llm_explainer.numpy_backend import GPT
from llm_explainer.tokenizer.chat_template import ChatTemplate
from llm_explainer.tree import flatten

N_SAMPLE = 160
N_DAMAGED = int(os.environ.get("DAMAGED_DIRECTORIES", N_SAMPLE))
KINDS = ("gpt2", "llama llama3", "mistral", "qwen2 windows", "qwen3", "smollm3", "shards", "packed")
SUMS = "SHA256SUMS"
TEXT = "once upon a time there was a fox"
VALUES = (None, True, -1, 0, 3, 2**31, 2**63, 1e308, -0.0, "", "x" * 999, "../x", [], [[]], {}, [0])
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with names"),
    pytest.mark.filterwarnings("ignore"),
]


def write_whole(folder: Path, kind: str) -> None:
    """Write a directory of a kind, with every file that is read."""
    tokenizer = BPETokenizer.train([f"{TEXT} " * 4], 280)
    tokenizer.chat_template = ChatTemplate()
    switches = SWITCHES["llama" if kind in ("shards", "packed") else kind]
    sizes = {**SMALL, "vocab_size": 285, "context_length": 24}
    if kind == "packed":
        sizes |= {"d_model": 64, "d_ff": 64}
    model = GPT(ModelConfig(**{**sizes, **switches}))
    randomize(model, std=0.05)
    if kind == "packed":
        export_mlx(model, tokenizer, folder, kind="4bit", texts=[TEXT], source="a test")
    else:
        save_checkpoint(folder, model, tokenizer)
    if kind == "shards":
        tensors = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        (folder / SUMS).unlink()
        places = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(tensors)}
        for file in set(places.values()):
            part = {name: tensors[name] for name, place in places.items() if place == file}
            save_file(part, folder / file)
        index = json.dumps({"weight_map": places})
        (folder / "model.safetensors.index.json").write_text(index)
    (folder / "generation_config.json").write_text('{"do_sample": true, "top_k": 5}')


def edit(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with one thing in it changed, left out, renamed or written twice."""
    if isinstance(value, dict | list) and value and rng.random() < 0.9:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = rng.choice(keys)
        kind = rng.randrange(6)
        if kind == 0:
            del value[key]
        elif kind == 1 and isinstance(value, dict):
            value[rng.choice([f"{key}x", "", "rope_theta", "quantization"])] = value.pop(key)
        elif kind == 2:
            other = rng.choice(keys)
            value[key], value[other] = value[other], value[key]
        else:
            value[key] = edit(value[key], rng)
        return value
    if isinstance(value, int) and rng.random() < 0.5:
        return value + rng.choice([-1, 1, 64])
    return rng.choice(VALUES)


def edit_json(path: Path, rng: random.Random) -> None:
    """Change what a JSON file says, or the front of a safetensors file."""
    data, front = path.read_bytes(), b""
    if path.suffix == ".safetensors":
        size = int.from_bytes(data[:8], "little")
        data, front = data[8 + size :], data[8 : 8 + size]
    elif path.suffix != ".json":
        return edit_json(path.with_name("config.json"), rng)
    document = json.loads(front or data)
    for _ in range(rng.choice([1, 1, 2])):
        document = edit(document, rng)
    text = json.dumps(document).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data if front else text)
    return None


def use(folder: Path) -> Any:
    """Load a directory and do with it what a command does; return the model and the tokenizer."""
    model, tokenizer = load_checkpoint(folder, "numpy")
    tokenizer.decode(tokenizer.encode(TEXT))
    read_generation_settings(folder)
    if tokenizer.chat_template is not None:
        tokenizer.chat_template.render([{"role": "user", "content": TEXT}])
    with np.errstate(all="ignore"):
        model(np.zeros((1, min(3, model.config.context_length)), np.int64))
    return model, tokenizer


def refused_or_used(folder: Path, told: str) -> Any:
    """Return what ``use`` does, or None where one line says why not."""
    try:
        return use(folder)
    except LLMExplainerError as error:
        message = str(error)
    except Exception as error:
        raise AssertionError(f"{told}: {error!r}") from error
    assert "\n" not in message, told
    assert len(message) < 700, told
    return None


@pytest.fixture(scope="module")
def wholes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("whole")
    for kind in KINDS:
        write_whole(folder / kind, kind)
    return {kind: folder / kind for kind in KINDS}


def test_random_damages(wholes: dict[str, Path], tmp_path: Path) -> None:
    rng, outcomes, slowest = random.Random(17), Counter[str](), (0.0, "")
    known = {kind: use(path) for kind, path in wholes.items()}
    for trial in range(N_DAMAGED):
        kind = KINDS[trial % len(KINDS)]
        damaged = Path(shutil.copytree(wholes[kind], tmp_path / str(trial)))
        has_sums = (damaged / SUMS).exists() and trial // len(KINDS) % 2 == 0
        if not has_sums:
            (damaged / SUMS).unlink(missing_ok=True)
        names = sorted(file.name for file in damaged.iterdir() if file.name != "README.md")
        name = rng.choice(names)
        damage = edit_json if rng.random() < 0.6 else rng.choice(DAMAGES)
        damage(damaged / name, rng)
        told = f"{trial}: {kind}, {damage.__name__} of {name}"
        start = time.perf_counter()
        found = refused_or_used(damaged, told)
        slowest = max(slowest, (time.perf_counter() - start, told))
        outcomes["refused" if found is None else "loaded"] += 1
        if found is not None and has_sums and name not in (SUMS, "generation_config.json"):
            assert_equal(found, known[kind], told)
        assert not (damaged / "exploded").exists(), told
        shutil.rmtree(damaged)
    assert outcomes["refused"] > N_DAMAGED / 3
    if N_DAMAGED > N_SAMPLE:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        warnings.warn(f"{dict(outcomes)}, slowest {slowest}, {peak / 1e9:.2f} GB", stacklevel=1)
        assert slowest[0] < 5
        assert peak < 1e9


def assert_equal(found: Any, known: Any, told: str) -> None:
    """Check that what passed its digests is what was written."""
    (model, tokenizer), (expected, its_own) = found, known
    assert model.config == expected.config, told
    assert tokenizer.vocab == its_own.vocab, told
    for name, array in flatten(expected.parameters()).items():
        np.testing.assert_array_equal(flatten(model.parameters())[name], array, told)


def test_no_pickle_is_opened(wholes: dict[str, Path], tmp_path: Path) -> None:
    import pickle

    folder = Path(shutil.copytree(wholes["qwen3"], tmp_path / "pickled"))
    (folder / SUMS).unlink()
    (folder / "model.safetensors").unlink()
    (folder / "model.bin").write_bytes(pickle.dumps(Bomb(folder / "exploded")))
    with pytest.raises(LLMExplainerError, match="may be a pickle"):
        load_checkpoint(folder, "numpy")
    assert not (folder / "exploded").exists()
