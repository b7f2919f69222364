"""A run on MLX is one on NumPy: loss curves, resuming, checkpoints, and what they generate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlx_twins import assert_close, mlx_backend, twins
from small_models import FAMILIES

from llm_explainer import (
    ModelConfig,
    load_backend,
    load_checkpoint,
    numpy_backend,
    save_checkpoint,
)
from llm_explainer.errors import TrainingError
from llm_explainer.generation import generate_batch
from llm_explainer.tokenizer import CharTokenizer
from llm_explainer.training.batches import WindowBatches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.events import Evaluated, StepDone
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.run import resume_run, start_run
from llm_explainer.training.trainer import Trainer
from llm_explainer.tree import flatten

TEXT = "the quick brown fox jumps over the lazy dog. " * 40

each_family = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


CONFIG = TrainConfig(
    steps=20,
    batch_size=4,
    learning_rate=1e-2,
    min_learning_rate=1e-3,
    warmup_steps=2,
    eval_every=10,
    eval_windows=8,
    sample_every=0,
    checkpoint_every=10,
    workers=1,
)


def make_trainer(
    path: Path, backend: str, *, resume: bool = False, config: TrainConfig = CONFIG, **model: Any
) -> tuple[Trainer, list[Any]]:
    nn, folder, events = load_backend(backend), RunFolder(path), []
    tokenizer = CharTokenizer.train([TEXT], special_tokens=())
    if resume:
        gpt, tokenizer = load_checkpoint(folder.newest(), backend)
    else:
        folder.create()
        shape = {"d_model": 16, "n_layers": 2, "n_heads": 4, "context_length": 16, **model}
        gpt = nn.GPT(ModelConfig(vocab_size=tokenizer.vocab_size, **shape))
    tokens = np.array(tokenizer.encode(TEXT), np.uint16)
    batches = WindowBatches(tokens[:1500], tokens[1500:], 16, config)
    trainer = Trainer(nn, gpt, tokenizer, batches, config, folder, [events.append])
    if resume:
        trainer.resume()
    return trainer, events


def losses(events: list[Any]) -> list[float]:
    return [event.loss for event in events if isinstance(event, StepDone)]


@each_family
def test_a_run_has_the_same_loss_curve(family: dict[str, Any], tmp_path: Path) -> None:
    """20 steps with AdamW, clipping and a schedule, evaluations too."""
    curves, evaluations = [], []
    for backend in ("numpy", "mlx"):
        trainer, events = make_trainer(tmp_path / backend, backend, **family)
        trainer.train()
        curves.append(losses(events))
        evaluations.append([e.evaluation.loss for e in events if isinstance(e, Evaluated)])
    assert len(curves[0]) == 20
    assert curves[0][0] - curves[0][-1] > 0.5
    np.testing.assert_allclose(curves[1], curves[0], rtol=0, atol=1e-3)
    np.testing.assert_allclose(evaluations[1], evaluations[0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(("first", "second"), [("numpy", "mlx"), ("mlx", "numpy")])
def test_a_run_resumes_on_the_other_backend(first: str, second: str, tmp_path: Path) -> None:
    whole, whole_events = make_trainer(tmp_path / "whole", first, **FAMILIES["llama"])
    whole.train()
    stopped, events = make_trainer(tmp_path / "run", first, **FAMILIES["llama"])
    stopped.observers.append(lambda event: stopped.request_stop() if event.step == 9 else None)
    stopped.train()
    resumed, more_events = make_trainer(tmp_path / "run", second, resume=True)
    assert resumed.train().finished
    curve = losses(events) + losses(more_events)
    np.testing.assert_allclose(curve, losses(whole_events), rtol=0, atol=1e-3)
    names = [path.name for path in sorted((tmp_path / "whole" / "last").iterdir())]
    assert [path.name for path in sorted((tmp_path / "run" / "last").iterdir())] == names
    expected = flatten(load_checkpoint(tmp_path / "whole", "numpy")[0].parameters())
    for name, array in flatten(load_checkpoint(tmp_path / "run", "numpy")[0].parameters()).items():
        np.testing.assert_allclose(array, expected[name], atol=1e-3, err_msg=name)


def test_a_command_may_resume_on_another_backend(tmp_path: Path) -> None:
    corpus, folder = tmp_path / "corpus.txt", RunFolder(tmp_path / "run")
    corpus.write_text(TEXT)
    settings = PretrainSettings(
        data=DataConfig(corpus=str(corpus), tokenizer="char"),
        train=CONFIG,
        size="tiny",
        model={"context_length": 16, "d_model": 16},
        backend="numpy",
    )
    run = start_run(settings, folder)
    run.trainer.observers = [lambda event: run.trainer.request_stop()]
    assert not run.trainer.train().finished
    for backend, nn in ((None, numpy_backend), ("mlx", mlx_backend), (None, numpy_backend)):
        resumed = resume_run(folder, backend=backend)
        assert type(resumed.trainer.model) is nn.GPT
        assert nn.__name__.split(".")[1].removesuffix("_backend") in resumed.description
        resumed.trainer.observers = [lambda event, at=resumed: at.trainer.request_stop()]
        step = resumed.trainer.step
        assert resumed.trainer.train().step == step + 1


def test_a_stopped_run_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    whole, _ = make_trainer(tmp_path / "whole", "mlx", dropout=0.2)
    whole.train()
    stopped, _ = make_trainer(tmp_path / "run", "mlx", dropout=0.2)
    stopped.observers.append(lambda event: stopped.request_stop() if event.step == 7 else None)
    stopped.train()
    make_trainer(tmp_path / "run", "mlx", resume=True)[0].train()
    for name in ("model.safetensors", "optimizer.safetensors"):
        ends = [(tmp_path / run / "last" / name).read_bytes() for run in ("whole", "run")]
        assert ends[0] == ends[1]


def test_a_run_that_diverges_names_the_layer(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path / "run", "mlx")
    trainer.model.blocks[1].feed_forward.down_proj.weight[0, 0] = math.nan
    with pytest.raises(TrainingError, match=r"parameter blocks\.1\.feed_forward\.down_proj"):
        trainer.train()


@each_family
def test_greedy_generation_is_identical(family: dict[str, Any], tmp_path: Path) -> None:
    """200 tokens after each of 20 prompts of different lengths, from one checkpoint."""
    config = TrainConfig(**{**CONFIG.to_dict(), "steps": 60})
    trainer, _ = make_trainer(
        tmp_path / "run", "numpy", config=config, context_length=240, **family
    )
    trainer.train()
    prompts = [TEXT[start : start + 1 + start % 7] for start in range(20)]
    texts = []
    for backend in ("numpy", "mlx"):
        model, tokenizer = load_checkpoint(tmp_path / "run", backend)
        assert type(model) is load_backend(backend).GPT
        options = {"max_tokens": 200, "temperature": 0.0}
        texts.append(generate_batch(model, tokenizer, prompts, **options))
    assert texts[0] == texts[1]
    assert {len(text) for text in texts[0]} == {200}
    assert len(set(texts[0])) > 1


@each_family
def test_a_checkpoint_is_the_same_from_both(family: dict[str, Any], tmp_path: Path) -> None:
    model, twin = twins(**{**family, "d_ff": 32})
    tokenizer = CharTokenizer.train(["abc"], special_tokens=())
    paths = [
        save_checkpoint(tmp_path / name, each, tokenizer)
        for name, each in (("numpy", model), ("mlx", twin))
    ]
    files = [(path / "model.safetensors").read_bytes() for path in paths]
    assert files[0] == files[1]
    loaded, _ = load_checkpoint(paths[0], "mlx")
    for name, array in flatten(model.parameters()).items():
        assert_close(flatten(loaded.parameters())[name], array)
