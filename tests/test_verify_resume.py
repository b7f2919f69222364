"""What verify-resume compares, and what it says; the kills themselves are a campaign."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import command_runner
from tiny_base import base  # noqa: F401 - a fixture

from llm_explainer.commands import resume_check
from llm_explainer.commands.resume_check import KINDS, Verdict, differing_files
from llm_explainer.commands.verify_resume import verify_resume


def test_runs_differ_in_a_byte_or_a_line(base: Path, tmp_path: Path) -> None:  # noqa: F811
    other = tmp_path / "other"
    shutil.copytree(base, other, symlinks=True)
    log = other / "log.jsonl"
    log.write_text(log.read_text().replace('"seconds": ', '"seconds": 1'))
    assert differing_files(base, other) == []  # what it took is no part of what it computed
    weights = other / "step-000002" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    (other / "step-000002" / "optimizer.safetensors").unlink()
    log.write_text(log.read_text().replace('"step": 2', '"step": 3'))
    names = ["model.safetensors", "optimizer.safetensors", "log.jsonl"]
    assert differing_files(base, other) == names
    (other / "step-000002").rename(other / "step-000003")
    assert "step-000002 and step-000003" in differing_files(base, other)


def test_the_command_fails_where_bytes_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, found = command_runner(tmp_path, monkeypatch, capsys), list[str]()
    monkeypatch.setattr(resume_check, "check_kind", lambda *_: Verdict([3, 14], found))
    code, out, _ = command(verify_resume)
    assert code == 0
    assert all(kind in out for kind in KINDS)
    assert "3, 14" in out
    found.append("model.safetensors")
    code, out, _ = command(verify_resume)
    assert code == 1
    assert "other bytes: model.safetensors" in out
