"""A tiny pre-trained run and a few records, for tests of fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llm_explainer.training.config import TrainConfig
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.run import start_run

ANIMALS = ["fox", "owl", "bear", "duck", "frog", "goat", "mole", "crow"]
QUIET = {"eval_every": 0, "sample_every": 0, "eval_windows": 4}


def make_base(folder: Path, context_length: int = 32) -> Path:
    """Train two steps on a few documents; return the run's folder."""
    texts = folder / "texts"
    texts.mkdir()
    for animal in ANIMALS:
        (texts / f"{animal}.txt").write_text(f"The {animal} sang. Who sang? The {animal} did. " * 6)
    settings = PretrainSettings(
        data=DataConfig(corpus=str(texts), vocab_size=300),
        train=TrainConfig(steps=2, batch_size=2, warmup_steps=0, workers=1, **QUIET),
        size="tiny",
        family="llama",
        model={"n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": context_length},
        backend="numpy",
    )
    run = start_run(settings, RunFolder(folder / "base"))
    run.train()
    return run.folder.path


def write_records(path: Path, n: int = 16) -> Path:
    """Write questions and answers, one JSON object a line."""
    pairs = [
        {"prompt": f"The {a} sang at {i}. Who sang?", "completion": f" The {a}"}
        for i, a in zip(range(n), ANIMALS * n, strict=False)
    ]
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run that can be fine-tuned."""
    return make_base(tmp_path_factory.mktemp("base"))
