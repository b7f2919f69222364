"""The run log, and the picture that is drawn from it."""

import json
from pathlib import Path

import pytest

from llm_explainer.training.evaluation import Evaluation
from llm_explainer.training.events import Evaluated, Sampled, Saved, Saving, StepDone
from llm_explainer.training.runs.log import RunLog, read_log
from llm_explainer.training.runs.loss_curve import draw_loss_curve, smooth


def step(number, loss=2.0):
    return StepDone(number, loss, learning_rate=1e-3, grad_norm=0.5, tokens=64, seconds=0.1)


def test_every_event_is_one_line_of_json(tmp_path):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log(step(1))
    log(Evaluated(1, Evaluation(1.0, bits_per_byte=0.7), best=True, whole=False))
    log(Sampled(1, "Once\nupon"))
    log(Saved(1, Path("runs/x/step-000001")))
    log.close()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["step", "evaluation", "sample", "checkpoint"]
    assert lines[0]["loss"] == 2.0
    assert lines[1]["perplexity"] == pytest.approx(2.718281828)
    assert lines[1]["bits_per_byte"] == 0.7
    assert lines[2]["text"] == "Once\nupon"
    assert lines[3]["path"] == "step-000001"


def test_a_resumed_run_drops_what_came_after_its_checkpoint(tmp_path):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    for number in range(1, 6):
        log(step(number))
    log.close()
    with path.open("a") as file:
        file.write('{"event": "step", "step": 6, "lo')  # cut short by a kill
    log = RunLog(path, first_step=3)
    log(step(4, loss=9.0))
    log.close()
    assert [(e["step"], e["loss"]) for e in read_log(path)] == [(1, 2), (2, 2), (3, 2), (4, 9)]


def test_a_checkpoint_takes_the_log_to_the_disk(tmp_path):
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log(step(1))
    log(Saved(1, Path("step-000001")))
    assert len(read_log(path)) == 2  # without closing
    log.close()


def test_the_log_is_on_the_disk_before_a_checkpoint_is(tmp_path):
    """So that a kill between the two leaves a checkpoint of which the log knows every step."""
    path = tmp_path / "log.jsonl"
    log = RunLog(path)
    log(step(1))
    log(Saving(1))
    assert [event["event"] for event in read_log(path)] == ["step"]  # without closing
    log.close()
    log = RunLog(path, first_step=1, saved=Path("step-000001"))  # killed before it said so
    log.close()
    assert [event["event"] for event in read_log(path)] == ["step", "checkpoint"]


def test_what_a_resumed_run_does_again_is_logged_once(tmp_path):
    path = tmp_path / "log.jsonl"
    evaluated = [
        Evaluated(1, Evaluation(1.0, None), best=whole, whole=whole) for whole in (False, True)
    ]
    for _ in range(2):
        log = RunLog(path, first_step=1 if path.exists() else 0)
        for event in [*evaluated, Sampled(1, "Once")]:
            log(event)
        log.close()
    lines = [event["event"] for event in read_log(path)]
    assert sorted(lines) == ["evaluation", "evaluation", "sample"]


def test_smoothing_does_not_start_cold():
    assert smooth([4.0]) == [4.0]
    assert smooth([2.0] * 50) == pytest.approx([2.0] * 50)
    assert 0 < smooth([0.0, 1.0])[1] < 1


def test_the_loss_curve_is_a_png(tmp_path):
    path = tmp_path / "loss.png"
    events = [{"event": "step", "step": n, "loss": 5 / n} for n in range(1, 20)]
    events.append({"event": "evaluation", "step": 10, "loss": 1.0, "whole": False})
    draw_loss_curve(events, path, "a run")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [entry.name for entry in tmp_path.iterdir()] == ["loss.png"]


def test_a_run_stopped_before_its_first_step_still_has_a_picture(tmp_path):
    draw_loss_curve([], tmp_path / "loss.png", "a run")
    assert (tmp_path / "loss.png").exists()
