"""Consoles whose output a test reads, and names of folders that are hard on them."""

from __future__ import annotations

import os
import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from llm_explainer.console import terminal
from llm_explainer.training.runs.comparison import FinishedRun

NOT_UTF8 = os.fsdecode(b"x\xff\xc3 y")
NAMES = [
    "exp[lr=1e-3]",
    "x[/b]",
    "[bold]x[/bold]",
    "a:fire:b",
    "cost_$5_$6",
    r"100%_\alpha^{",
    "my runs/first  try",
    "it's",
    'say "hi"',
    "`whoami`",
    "~x",
    "#x",
    "-x",
    "中文 é",
    NOT_UTF8,
    "a\nb",
    "a\x1b[31mb\\",
    "x" * 150,
]


def console_of(width: int = 80, *, live: bool = True) -> Console:
    console = terminal.make_console()
    console.file = StringIO()
    console._force_terminal = live
    console.width = width
    return console


def shown(console: Console) -> str:
    """What a console was given, without styles and moves of the cursor."""
    assert isinstance(console.file, StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", console.file.getvalue())


def finished(name: str) -> FinishedRun:
    return FinishedRun(
        path=Path(name),
        text=("text", None),
        size="tiny",
        family="gpt2",
        n_parameters=1000,
        train_bytes=1000,
        dtype="float32",
        backend="numpy",
        steps=3,
        loss=2.0,
        bits_per_byte=2.0,
        tokens_per_s=100.0,
        peak_memory=0,
        curve=[(10, 3.0), (20, 2.0)],
    )
