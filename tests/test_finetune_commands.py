"""The fine-tuning scripts, merge, eval, ask and full, as the shell would run them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, assert_one_line, command_runner
from tiny_base import base, write_records  # noqa: F401 - a fixture

from llm_explainer.commands import full as full_command
from llm_explainer.commands import full_stages
from llm_explainer.commands.ask import ask
from llm_explainer.commands.evaluate import evaluate
from llm_explainer.commands.finetune import finetune_full, finetune_lora
from llm_explainer.commands.full import full
from llm_explainer.commands.generate import generate
from llm_explainer.commands.merge import merge
from llm_explainer.commands.quick import quick_settings
from llm_explainer.data.stories import questions
from llm_explainer.training.runs import run as runs

SHORT = ["--data=qa.jsonl", "--steps=2", "--batch-size=4", "--backend=numpy", "--workers=1"]


@pytest.fixture
def command(
    base: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Run a command in a folder with a base and records."""
    monkeypatch.setattr(runs, "draw_loss_curve", lambda *args: None)
    (tmp_path / "base").symlink_to(base)
    write_records(tmp_path / "qa.jsonl")
    return command_runner(tmp_path, monkeypatch, capsys)


def test_a_lora_run_is_trained_shown_and_merged(command: Call, tmp_path: Path) -> None:
    code, out, _ = command(finetune_lora, *SHORT, "--from=base", "--rank=2", "--out=run")
    assert code == 0
    assert "Who sang?" in out  # a look at the records, before
    assert "right to the letter" in out
    assert "run_demo.py generate run" in out
    code, out, _ = command(evaluate, "run", "--data=qa.jsonl")
    assert code == 0
    assert "records         16\n" in out
    assert "0 of 16, 0.0%" in out
    assert "✗ The fox sang at 0. Who sang?" in out  # the question, with its answer
    assert command(generate, "run", "--prompt=The fox", "--max-tokens=3")[0] == 0
    assert command(generate, "base", "--adapter=run", "--prompt=The", "--max-tokens=3")[0] == 0
    assert command(generate, "--adapter=run", "--prompt=The fox", "--max-tokens=3")[0] == 0
    assert command(merge, "run", "--out=merged")[0] == 0
    assert (tmp_path / "merged" / "model.safetensors").exists()
    assert_one_line(command(merge, "merged", "--out=again"), "merged", "no adapters to merge")
    refused = command(generate, "merged", "--adapter=run", "--prompt=The")
    assert_one_line(refused, "another base")
    code, out, _ = command(finetune_lora, "--resume=run", "--steps=3")
    assert code == 0
    assert "after step 2" in out


WRONG: dict[str, tuple[Callable[..., None], list[str], list[str]]] = {
    "no base": (finetune_full, ["--data=stories"], ["stories", "run_demo.py full"]),
    "no such base": (finetune_full, ["--from=nowhere"], ["nowhere", "does not exist"]),
    "no such file": (finetune_full, ["--from=base", "--data=x.jsonl"], ["x.jsonl"]),
    "stories too long": (finetune_full, ["--from=base", "--stories=3"], ["32 tokens", "full"]),
    "damaged": (finetune_full, ["--from=base", "--data=bad.jsonl"], ["bad.jsonl", "line 2"]),
    "few": (finetune_full, ["--from=base", "--data=qa.jsonl", "--batch-size=99"], ["batch"]),
    "both": (
        finetune_full,
        ["--from=base", "--data=qa.jsonl", "--steps=3", "--epochs=2"],
        ["epochs", "steps"],
    ),
    "rank": (finetune_lora, ["--from=base", "--data=qa.jsonl", "--rank=0"], ["rank", "0"]),
    "high rank": (finetune_lora, ["--from=base", "--data=qa.jsonl", "--rank=99"], ["rank 99"]),
    "target": (
        finetune_lora,
        ["--from=base", "--data=qa.jsonl", "--targets=q_prj"],
        ["q_prj", "q_proj"],
    ),
    "adapted": (finetune_lora, ["--resume=base2"], ["base2"]),
    "not resumable with": (finetune_lora, ["--resume=base", "--rank=3"], ["--rank"]),
    "no questions": (ask, ["base", "--questions=0"], ["--questions"]),
    "nothing to ask": (evaluate, ["base", "--questions=0"], ["--questions"]),
    "nothing to measure": (evaluate, ["base", "--data=x.jsonl"], ["x.jsonl"]),
    "two to measure": (evaluate, ["base", "--data=a", "--corpus=b"], ["--data", "--corpus"]),
    "nothing begun": (full, ["--resume=base"], ["base", "full.json"]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_bad_input_is_one_line(command: Call, tmp_path: Path, wrong: str) -> None:
    (tmp_path / "bad.jsonl").write_text('{"text": "x"}\n{"text": 3}\n')
    function, options, needles = WRONG[wrong]
    before = sorted(path.name for path in tmp_path.iterdir())
    assert_one_line(command(function, *options), *needles)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_full_is_resumed_where_it_was_stopped(
    command: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(*arguments: Any) -> Any:
        plan = quick_settings(*arguments)
        data = {"max_bytes": 60_000, "vocab_size": 400}
        model = {"n_layers": 1, "d_model": 16, "n_heads": 2, "n_kv_heads": 2}
        return _replaced(plan, data, model)

    monkeypatch.setattr(full_stages, "quick_settings", small)
    monkeypatch.setattr(questions, "STORY_CONTEXT", 320)
    monkeypatch.setattr(full_command, "train_stage", _stopping(full_command.train_stage))
    options = ["--steps=2", "--finetune-steps=2", "--questions=4", "--backend=numpy", "--out=all"]
    assert command(full, *options)[0] == 130  # where LoRA was to begin
    assert_one_line(command(full, *options), "begun before", "--resume all")
    code, out, _ = command(full, "--resume=all")
    assert code == 0
    assert out.count("done before") == 2
    results = json.loads((tmp_path / "all" / "results.json").read_text())
    assert list(results["models"]) == ["base", "full", "LoRA"]
    assert (
        results["models"]["LoRA"]["parameters_that_learn"]
        < 0.2 * (results["models"]["full"]["parameters_that_learn"])
    )
    assert (tmp_path / "all" / "side-by-side.png").stat().st_size > 10_000
    assert "loss on the old task" in out
    assert command(ask, "all/lora", "--questions=2")[0] == 0
    assert command(evaluate, "all/lora", "--questions=4")[0] == 0


def _replaced(plan: Any, data: dict[str, Any], model: dict[str, Any]) -> Any:
    from dataclasses import replace

    train = replace(plan.train, eval_windows=2, workers=1)
    return replace(
        plan, data=replace(plan.data, **data), model={**plan.model, **model}, train=train
    )


def _stopping(stage: Callable[..., None]) -> Callable[..., None]:
    """Interrupt the third stage, once."""
    calls: list[Path] = []

    def stopping(path: Path, *arguments: Any) -> None:
        calls.append(path)
        if len(calls) == 3:
            raise KeyboardInterrupt
        stage(path, *arguments)

    return stopping
