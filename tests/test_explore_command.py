"""The command that writes the explorer's page, and the page that a run folder has."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Any

import pytest
from command_line import assert_one_line, command_runner
from tiny_base import make_base

from llm_explainer.commands.explore import explore
from llm_explainer.explorer.html import is_page
from llm_explainer.training.runs.own_files import OwnFiles


@pytest.fixture
def call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    make_base(tmp_path)
    return command_runner(tmp_path, monkeypatch, capsys)


def test_the_page_is_written_and_opened(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    code, out, _ = call(explore, "base", "--prompt=the fox")
    assert code == 0
    assert "explorer.html" in out
    assert is_page(tmp_path / "explorer.html")
    assert opened == [(tmp_path / "explorer.html").as_uri()]
    code, _, _ = call(explore, "base", "--prompt=the", "--why=a", "--no-open", "--out=other.html")
    assert code == 0
    assert is_page(tmp_path / "other.html")
    assert len(opened) == 1


def test_a_link_stays_one(call: Any, tmp_path: Path) -> None:
    (tmp_path / "link.html").symlink_to("far.html")
    assert call(explore, "base", "--prompt=a", "--no-open", "--out=link.html")[0] == 0
    assert (tmp_path / "link.html").is_symlink()
    assert is_page(tmp_path / "far.html")


def test_what_cannot_be_is_one_line_before_the_work(call: Any, tmp_path: Path) -> None:
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "ring.html").symlink_to("ring.html")
    for out, said in (
        ("mine.html", "no page of this program"),
        ("nowhere/p.html", "no folder"),
        ("ring.html", "cannot write ring.html"),
        ("/dev/null", "no page of this program"),
        ("x" * 300, "File name too long"),
    ):
        assert_one_line(call(explore, "base", "--prompt=a", "--no-open", f"--out={out}"), said)
    assert (tmp_path / "mine.html").read_text() == "mine"
    assert_one_line(call(explore, "base", "--prompt=a", "--why=the fox"), "tokens to this model")


def test_a_page_in_a_run_folder_is_the_runs_own(call: Any, tmp_path: Path) -> None:
    code, _, _ = call(explore, "base", "--prompt=the", "--no-open", "--out=base/explorer.html")
    assert code == 0
    assert "explorer.html" in OwnFiles(tmp_path / "base").names()
