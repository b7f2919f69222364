"""Fine-tuning runs: they learn answers alone, stand for their best, and resume exactly."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_base import base, write_records  # noqa: F401 - a fixture

from llm_explainer import LoRAConfig, load_checkpoint, merge_lora
from llm_explainer.checkpoint import base_of, load_model
from llm_explainer.errors import ConfigError, Diverged
from llm_explainer.run_folders import meant_checkpoint
from llm_explainer.training.events import Answered, Evaluated, StepDone
from llm_explainer.training.finetune import finetune_settings, open_start
from llm_explainer.training.finetune_data import RecordsConfig
from llm_explainer.training.runs import run as runs
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.run import Run, resume_run, start_run
from llm_explainer.tree import flatten

KINDS = [None, LoRAConfig(rank=2), LoRAConfig(rank=2, dora=True, dropout=0.1)]
WILD = {"learning_rate": 1.0, "warmup_steps": 0, "batch_size": 2}
each_kind = pytest.mark.parametrize("lora", KINDS, ids=["full", "lora", "dora"])


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)


def begin(base: Path, out: Path, lora: LoRAConfig | None, **settings: Any) -> Run:  # noqa: F811
    records = write_records(out.with_suffix(".jsonl"))
    packing = settings.pop("packing", False)
    start = open_start(base, RecordsConfig(data=str(records), packing=packing))
    usual = {"steps": 8, "batch_size": 4, "eval_every": 2, "checkpoint_every": 2, "workers": 1}
    plan = finetune_settings(start, lora, backend="numpy", **{**usual, **settings})
    return start_run(plan, RunFolder(out))


def last_bytes(run: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(RunFolder(run).newest().iterdir())}


@each_kind
def test_a_resumed_run_ends_with_the_same_bytes(
    base: Path,  # noqa: F811
    tmp_path: Path,
    lora: LoRAConfig | None,
) -> None:
    begin(base, tmp_path / "straight", lora).train()
    run = begin(base, tmp_path / "stopped", lora)

    def stop(event: Any) -> None:
        if isinstance(event, StepDone) and event.step == 3:
            run.trainer.request_stop()

    assert not run.train([stop]).finished
    resume_run(RunFolder(tmp_path / "stopped")).train()
    assert last_bytes(tmp_path / "straight") == last_bytes(tmp_path / "stopped")


@each_kind
@pytest.mark.parametrize("packing", [False, True], ids=["padded", "packed"])
def test_answers_are_learned(
    base: Path,  # noqa: F811
    tmp_path: Path,
    lora: LoRAConfig | None,
    packing: bool,
) -> None:
    events: list[Any] = []
    run = begin(
        base,
        tmp_path / "run",
        lora,
        steps=16,
        eval_every=8,
        checkpoint_every=16,
        learning_rate=0.1,
        batch_size=2,
        packing=packing,
    )
    assert run.preflight.summary().endswith(", and the answers to questions on the way")
    run.train([events.append])
    losses = [event.loss for event in events if isinstance(event, StepDone)]
    less = 1.0 if lora is None else 0.05  # beside a base of two steps, little can be adapted
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - less, losses
    asked = [event for event in events if isinstance(event, Answered)]
    assert asked[-1].n_asked == 1  # every tenth record of sixteen is held out
    assert asked[-1].examples[0][0].endswith("Who sang?")


def test_the_best_checkpoint_is_meant(base: Path, tmp_path: Path) -> None:  # noqa: F811
    events: list[Any] = []
    run = begin(base, tmp_path / "run", None, steps=5, schedule="constant", eval_every=1, **WILD)
    run.train([events.append])
    losses = {e.step: e.evaluation.loss for e in events if isinstance(e, Evaluated) and not e.whole}
    best = min(losses, key=lambda step: losses[step])
    assert best < 5  # at such a rate it gets worse again
    assert meant_checkpoint(tmp_path / "run") == run.folder.checkpoint(best)
    assert (tmp_path / "run" / "model.safetensors").resolve().parent.name == f"step-{best:06d}"
    loaded = flatten(load_model(tmp_path / "run", "numpy").parameters())
    saved = flatten(load_model(run.folder.checkpoint(best), "numpy").parameters())
    assert all(np.array_equal(loaded[name], saved[name]) for name in saved)


def test_patience_ends_a_run(base: Path, tmp_path: Path) -> None:  # noqa: F811
    run = begin(
        base,
        tmp_path / "run",
        None,
        steps=40,
        schedule="constant",
        eval_every=1,
        patience=3,
        **WILD,
    )
    result = run.train()
    assert result.finished
    assert result.step == result.best_step + 3 < 40
    again = resume_run(RunFolder(tmp_path / "run")).train()
    assert again.step == result.step


def test_a_lora_run_is_read_like_a_checkpoint(base: Path, tmp_path: Path) -> None:  # noqa: F811
    run = begin(base, tmp_path / "run", LoRAConfig(rank=2), steps=4, learning_rate=1e-2)
    run.train()
    model, tokenizer = load_checkpoint(tmp_path / "run", "numpy")
    ids = np.array([tokenizer.encode("The fox sang.")])
    np.testing.assert_allclose(merge_lora(model)(ids), model(ids), atol=1e-5)
    assert np.abs(model(ids) - load_model(base, "numpy")(ids)).max() > 1e-3
    assert not (tmp_path / "run" / "model.safetensors").exists()  # the base's weights stay there
    assert (tmp_path / "run" / "adapter_config.json").exists()


def test_a_base_that_moved_is_missed_by_name(base: Path, tmp_path: Path) -> None:  # noqa: F811
    here = tmp_path / "base"
    shutil.copytree(base, here)
    begin(here, tmp_path / "run", LoRAConfig(rank=2), steps=1).train()
    here.rename(tmp_path / "elsewhere")
    with pytest.raises(Exception, match="base"):
        load_model(tmp_path / "run", "numpy")


def test_a_copied_run_goes_on_anywhere_with_its_own_base(
    base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copytree(base, tmp_path / "here" / "base", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    begin(Path("base"), Path("run"), LoRAConfig(rank=2), steps=1).train()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rename(tmp_path / "there")
    resume_run(RunFolder(Path("there/run")), steps=2).train()
    assert base_of("there/run") == RunFolder(Path("there/base")).newest()
    load_model("there/run", "numpy")


def test_adapters_stay_on_the_checkpoint_that_they_began_with(
    base: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    shutil.copytree(base, tmp_path / "base", symlinks=True)
    run = begin(tmp_path / "base", tmp_path / "run", LoRAConfig(rank=2), steps=2)
    resume_run(RunFolder(tmp_path / "base"), steps=4).train()  # the run means another one now
    run.train()
    for steps in (6, 8):  # two are kept, and the one that is needed
        resume_run(RunFolder(tmp_path / "base"), steps=steps).train()
    assert RunFolder(tmp_path / "base").steps() == [2, 6, 8]
    load_model(tmp_path / "run", "numpy")


def test_adapters_do_not_take_the_place_of_their_base(base: Path, tmp_path: Path) -> None:  # noqa: F811
    others_note = shutil.ignore_patterns("needed-by-adapters.txt")
    shutil.copytree(base, tmp_path / "base", symlinks=True, ignore=others_note)
    start = open_start(tmp_path / "base", RecordsConfig(data=str(write_records(tmp_path / "qa"))))
    plan = finetune_settings(start, LoRAConfig(rank=2), steps=1, backend="numpy")
    with pytest.raises(ConfigError, match="holds the base"):
        start_run(plan, RunFolder(tmp_path / "base"), overwrite=True)
    load_model(tmp_path / "base", "numpy")


def test_adapters_are_not_fine_tuned_themselves(base: Path, tmp_path: Path) -> None:  # noqa: F811
    begin(base, tmp_path / "first", LoRAConfig(rank=2), steps=1).train()
    for lora in (None, LoRAConfig(rank=2)):
        with pytest.raises(ConfigError, match="merge it first"):
            begin(tmp_path / "first", tmp_path / "second", lora)
    assert not (tmp_path / "second").exists()


def test_a_conversation_s_template_goes_with_the_model(base: Path, tmp_path: Path) -> None:  # noqa: F811
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "The fox"}]
    line = json.dumps({"messages": turns}) + "\n"
    (tmp_path / "chat.jsonl").write_text(line * 4)
    start = open_start(base, RecordsConfig(data=str(tmp_path / "chat.jsonl")))
    plan = finetune_settings(start, steps=1, batch_size=2, backend="numpy")
    start_run(plan, RunFolder(tmp_path / "run")).train()
    _, tokenizer = load_checkpoint(tmp_path / "run", "numpy")
    assert tokenizer.chat_template == start.records.template


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NumPy, about the overflow
def test_diverged_adapters_are_not_to_be_started_from(base: Path, tmp_path: Path) -> None:  # noqa: F811
    run = begin(
        base, tmp_path / "run", LoRAConfig(rank=2), clip_norm=0.0, **WILD | {"learning_rate": 1e30}
    )
    with pytest.raises(Diverged, match="start again with a learning rate under"):
        run.train()
