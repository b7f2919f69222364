"""The runs of chapter 11: what is stored is of the models that the script names."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest

from llm_explainer import ModelConfig

SCRIPT = Path(__file__).parents[1] / "Tutorial" / "runs" / "ablations.py"


@pytest.fixture
def ablations():
    spec = importlib.util.spec_from_file_location("ablations", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_log_is_of_these_models(ablations):
    stored = json.loads(SCRIPT.with_suffix(".json").read_text(encoding="utf-8"))
    assert stored.keys() == {"tokens", *ablations.RUNS}
    for name, (change, steps) in ablations.RUNS.items():
        config = ModelConfig(**{**ablations.BASE, **change})
        assert stored[name]["parameters"] == config.count_parameters()
        assert stored[name]["steps"][-1] == steps
        lengths = {len(losses) for losses in stored[name]["losses"]}
        assert len(stored[name]["losses"]) == len(ablations.SEEDS)
        assert lengths == {len(stored[name]["steps"])}
    assert ModelConfig(**{**ablations.BASE, **ablations.ALL_FIVE}).family == "llama"


def test_runs_again_are_held_against_the_stored_ones(ablations, monkeypatch, capsys, tmp_path):
    tokens = np.random.default_rng(0).integers(0, 512, 500)
    monkeypatch.setattr(ablations, "RUNS", {"GPT-2": ({"d_model": 8}, 10)})
    monkeypatch.setattr(ablations, "SEEDS", (0,))
    monkeypatch.setattr(ablations, "prepare", lambda folder: (tokens, tokens[:200]))
    found = ablations.measure("GPT-2", (tokens, tokens[:200]), tmp_path)
    monkeypatch.setattr(ablations, "measure", lambda name, data, folder: found)
    for band, verdict in ((0.1, "NOT in the band of 0.1"), (9, "in the band of 9")):
        monkeypatch.setattr(ablations, "BAND", band)
        ablations.main(["GPT-2"])  # after ten steps it knows nothing: log 512 is 6.2
        assert re.fullmatch(rf"GPT-2: 6\.\d+, stored 1\.117, {verdict}\n", capsys.readouterr().out)
