"""Training and fine-tuning as functions, as a notebook calls them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tiny_base import base, write_records  # noqa: F401 - a fixture

from llm_explainer import LoRAConfig, finetune, train
from llm_explainer.console.notebook import is_notebook
from llm_explainer.errors import ConfigError
from llm_explainer.training.runs import run as runs
from llm_explainer.training.trainer import Trainer

SMALL = {
    "size": "tiny",
    "model": {"n_layers": 1, "d_model": 16, "n_heads": 2, "context_length": 16},
    "backend": "numpy",
    "progress": False,
    "workers": 1,
    "eval_windows": 2,
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)


def test_own_ids_are_trained_on() -> None:
    run = train(np.arange(400) % 7, steps=4, **SMALL)
    assert run.path == Path("runs/pretrain")
    assert len(run.losses) == 4
    assert run.model.config.vocab_size == 7
    assert run.tokenizer is None
    assert run.plot().axes[0].get_ylabel().startswith("loss")
    two = train((np.arange(400) % 7, np.arange(60) % 9), steps=1, vocab_size=9, **SMALL)
    assert two.path == Path("runs/pretrain-2")


def test_a_text_is_trained_on_and_a_run_fine_tuned(base: Path) -> None:  # noqa: F811
    records = write_records(Path("qa.jsonl"))
    run = finetune(
        base, records, lora=LoRAConfig(rank=2), steps=2, backend="numpy", progress=False, workers=1
    )
    assert run.path == Path("runs/finetune-lora")
    assert run.model.lora == LoRAConfig(rank=2)
    assert len(run.losses) == 2


@pytest.mark.parametrize(
    ("corpus", "settings", "message"),
    [
        ("stories", {"stepz": 3}, "stepz"),
        (np.zeros((2, 3), int), {}, "shape"),
        (np.array([0.5, 1.0]), {}, "float64"),
        (np.array([-1, 2]), {}, "whole numbers"),
        ((np.arange(9),) * 3, {}, "3 arrays"),
        (np.array([], int), {}, "empty"),
    ],
)
def test_what_cannot_be_trained_on(corpus: Any, settings: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(corpus, **SMALL, **settings)
    assert not Path("runs").exists()


def test_ctrl_c_gives_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    update = Trainer._update

    def interrupted(trainer: Trainer) -> None:
        update(trainer)
        if trainer.step == 3:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Trainer, "_update", interrupted)
    run = train(np.arange(400) % 7, steps=9, **SMALL)
    assert not run.result.finished
    assert len(run.losses) == 3


def test_a_notebook_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=shown.append)
    display = SimpleNamespace(HTML=str, display=lambda *args, **how: handle)
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    assert is_notebook()
    train(np.arange(400) % 7, steps=4, **{**SMALL, "progress": True})
    assert 'value="4" max="4"' in shown[-1]
    assert "step 4 of 4" in shown[-1]
    assert "validation" in shown[-1]
