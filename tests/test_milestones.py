"""Milestones: early weights that a run keeps, exactly, and as its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_run_folder import make_run
from test_trainer import change, make_trainer

from llm_explainer import load_checkpoint
from llm_explainer.commands.quick import quick_settings
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.generation import generate
from llm_explainer.run_folders import MILESTONES, history_of, meant_checkpoint, milestones_of
from llm_explainer.tracing import lens, moments, trace
from llm_explainer.tracing.moments import SAMPLE_TOKENS
from llm_explainer.training.milestones import milestone_steps

CONFIG = change(keep_milestones=3, steps=12, checkpoint_every=4, eval_every=0, sample_every=0)


def contents(run: Path) -> dict[str, bytes]:
    """Return all files of a run's milestones."""
    place = run / MILESTONES
    return {
        path.relative_to(place).as_posix(): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file()
    }


def steps(run: Path) -> list[int]:
    return [step for step, _ in milestones_of(run)]


@pytest.mark.parametrize(
    ("steps", "keep", "expected"),
    [
        (4200, 6, [0, 17, 51, 155, 466, 1400]),
        (4200, 0, []),
        (4200, 1, [0]),
        (10, 6, [0, 1, 3]),
        (1, 6, [0]),
    ],
)
def test_steps_are_three_times_as_far_each_time(steps: int, keep: int, expected: list[int]) -> None:
    assert milestone_steps(change(steps=steps, keep_milestones=keep)) == expected


def test_a_run_keeps_weights_of_early_steps_that_load(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path / "run", CONFIG)
    fresh = trainer.model.token_embedding.weight.copy()
    trainer.train()
    assert steps(tmp_path / "run") == [0, 1, 4]
    model, tokenizer = load_checkpoint(milestones_of(tmp_path / "run")[0][1], "numpy")
    np.testing.assert_array_equal(model.token_embedding.weight, fresh)
    assert tokenizer.decode(tokenizer.encode("lazy dog")) == "lazy dog"
    small = {path.name for path in (tmp_path / "run" / MILESTONES / "step-000004").iterdir()}
    whole = {path.name for path in (tmp_path / "run" / "step-000012").iterdir()}
    assert whole - small == {"optimizer.safetensors", "trainer_state.json"}
    # That of step 4 has the weights that the checkpoint of step 4 had.
    again, _ = make_trainer(tmp_path / "other", change(**CONFIG.to_dict() | {"steps": 4}))
    again.config = CONFIG  # the learning rate goes by the whole run
    again.observers = [lambda event: again.request_stop() if event.step == 4 else None]
    again.train()
    name = "step-000004/model.safetensors"
    expected = (tmp_path / "other" / name).read_bytes()
    assert (tmp_path / "run" / MILESTONES / name).read_bytes() == expected


def test_history_is_milestones_and_checkpoints_in_order(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path / "run", CONFIG)
    trainer.train()
    assert trainer.folder.steps() == [8, 12]
    assert [step for step, _ in history_of(tmp_path / "run")] == [0, 1, 4, 8, 12]
    assert meant_checkpoint(tmp_path / "run") == tmp_path / "run" / "step-000012"


def test_moments_are_what_each_kept_state_makes_of_a_text(tmp_path: Path) -> None:
    trainer, _ = make_trainer(tmp_path / "run", CONFIG)
    trainer.train()
    text, done = "the lazy dog", []
    found = moments(tmp_path / "run", text, report=lambda *counts: done.append(counts))
    assert [moment.step for moment in found] == [0, 1, 4, 8, 12]
    assert done == [(i, 5) for i in range(5)]
    model, tokenizer = load_checkpoint(tmp_path / "run" / MILESTONES / "step-000004", "numpy")
    expected = trace(model, tokenizer, text)
    moment = found[2]
    np.testing.assert_array_equal(moment.losses, expected.losses)
    weights = expected.activations["blocks.0.attention.weights"]
    np.testing.assert_array_equal(moment.attention, weights[None])  # of the one layer
    np.testing.assert_array_equal(moment.lens.ranks, lens(expected).ranks)
    assert len(moment.sample) == 17  # characters: one to begin with, then as many as see it
    assert moment.sample[0] == "t"
    assert len({moment.sample for moment in found}) > 1
    greedy = generate(model, tokenizer, text, temperature=0, max_tokens=SAMPLE_TOKENS)
    assert moment.continued == "".join(greedy) != ""
    followed = moments(tmp_path / "run", text, targets=3)
    assert followed[2].lens.targets.tolist() == [3] * 12
    with pytest.raises(CheckpointError, match="keeps no checkpoints to go through; it takes the f"):
        moments(tmp_path, text)


@pytest.mark.parametrize("stop", [1, 4, 6])
def test_a_stopped_run_ends_with_the_same_milestones(tmp_path: Path, stop: int) -> None:
    make_trainer(tmp_path / "whole", CONFIG)[0].train()
    stopped, _ = make_trainer(tmp_path / "stopped", CONFIG)
    stopped.observers = [lambda event: stopped.request_stop() if event.step == stop else None]
    stopped.train()
    make_trainer(tmp_path / "stopped", CONFIG, resume=True)[0].train()
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert steps(tmp_path / "stopped") == [0, 1, 4]


def test_a_run_killed_before_its_milestone_makes_it_when_it_goes_on(tmp_path: Path) -> None:
    """It is written before the checkpoint of its step, so a kill between the two loses nothing."""
    make_trainer(tmp_path / "whole", CONFIG)[0].train()
    killed, _ = make_trainer(tmp_path / "killed", CONFIG)
    write, seen = killed._write, []

    def write_until_killed(place, *args, **kinds):
        seen.append((place.parent.name, place.name))
        if seen[-1] == (MILESTONES, "step-000004"):
            (place.parent / ".step-000004.0a1b2c3d.tmp").mkdir()
            raise KeyboardInterrupt
        return write(place, *args, **kinds)

    killed._write = write_until_killed
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    assert ("killed", "step-000004") not in seen
    make_trainer(tmp_path / "killed", CONFIG, resume=True)[0].train()
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    assert not list((tmp_path / "killed" / MILESTONES).glob(".*"))


def with_milestones(path: Path):
    folder = make_run(path, [3])
    folder.milestone(0).mkdir(parents=True)
    (folder.milestone(0) / "config.json").write_text("0")
    return folder


def test_a_run_that_replaces_another_has_none_of_its_milestones(tmp_path: Path) -> None:
    folder = with_milestones(tmp_path / "run")
    folder.create(overwrite=True)
    assert not (tmp_path / "run" / MILESTONES).exists()
    folder.write_record({"kind": "pretrain"})
    assert not list(tmp_path.rglob("step-000000"))


def test_a_failed_preparation_brings_them_back(tmp_path: Path) -> None:
    folder = with_milestones(tmp_path / "run")
    folder.create(overwrite=True)
    folder.give_back()
    assert (folder.milestone(0) / "config.json").read_text() == "0"
    assert not list(tmp_path.glob("run/.replaced*"))


def test_what_somebody_put_beside_them_stays(tmp_path: Path) -> None:
    folder = with_milestones(tmp_path / "run")
    (tmp_path / "run" / MILESTONES / "notes.txt").write_text("mine")
    folder.create(overwrite=True)
    assert (tmp_path / "run" / MILESTONES / "notes.txt").read_text() == "mine"


def test_a_milestone_with_a_file_of_somebody_is_not_deleted(tmp_path: Path) -> None:
    folder = with_milestones(tmp_path / "run")
    (folder.milestone(0) / "thesis.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"milestones/step-000000 holds 'thesis.txt'"):
        folder.create(overwrite=True)
    assert (folder.milestone(0) / "thesis.txt").read_text() == "mine"


def test_quick_keeps_six() -> None:
    train = quick_settings(4200, 0, "numpy").train
    assert len(milestone_steps(train)) == 6
    with pytest.raises(ConfigError, match="keep_milestones is -1"):
        change(keep_milestones=-1)
