"""Running a command in a test as the shell would."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_explainer.commands.app import run

Result = tuple[Any, str, str]
Call = Callable[..., Result]


class FakeInput(io.TextIOWrapper):
    """Standard input with given bytes; a terminal or a pipe."""

    def __init__(self, data=b"", terminal=False):
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def command_runner(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Call:
    """Return what runs a command in a folder and gives exit code, stdout and stderr."""
    monkeypatch.chdir(folder)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)

    def call(function, *arguments, stdin=None):
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", stdin or FakeInput())
        with pytest.raises(SystemExit) as caught:
            run(function)
        return caught.value.code, *capsys.readouterr()

    return call


def assert_one_line(result, *needles):
    """Check that a command failed with exit code 2 and one line that has all the needles."""
    code, _, err = result
    assert code == 2
    lines = [line for line in err.splitlines() if line.strip()]
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    for needle in needles:
        assert str(needle) in lines[0]
