"""The command that proves that a killed run ends as one that was never stopped, byte for byte."""

from __future__ import annotations

from typing import Annotated

import typer
from typer import Option

from llm_explainer.errors import ConfigError


def verify_resume(
    kills: Annotated[int, Option(help="how often each run is killed on its way")] = 2,
    steps: Annotated[int, Option(help="updates of each run")] = 40,
    seed: Annotated[int, Option(help="fixes the moments of the kills, as far as that goes")] = 0,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
) -> None:
    """Kill short runs of every kind at random moments, resume them, and compare bytes.

    Each kind of run (pre-training, full fine-tuning, LoRA, DoRA) trains twice: once undisturbed,
    once killed without warning and resumed. Then weights, optimizer, schedule and log of both have
    to be the same to the last byte. It takes about a minute, in a temporary folder.

    Examples:

      uv run run_demo.py verify-resume

      uv run run_demo.py verify-resume --kills 10 --backend mlx
    """
    import tempfile
    from functools import partial
    from pathlib import Path

    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    from llm_explainer.backend import load_backend
    from llm_explainer.commands.resume_check import KINDS, check_kind
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.tables import show_table
    from llm_explainer.console.terminal import make_console, show

    for name, value in (("kills", kills), ("steps", steps)):
        if value < 1:
            raise ConfigError(f"--{name} is {value}; it takes 1 or more")
    console = make_console()
    name = load_backend(backend).NAME
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("run", "killed after step", "then"):
        table.add_column(heading, no_wrap=heading != "killed after step")  # these may be many
    differing: list[str] = []
    with tempfile.TemporaryDirectory() as folder, StageProgress(console) as progress:
        for kind in KINDS:
            report = partial(progress.report, kind)
            verdict = check_kind(kind, Path(folder), steps, kills, seed, name, report)
            differing += verdict.differing
            killed = ", ".join(map(str, verdict.killed_after))
            then = Text("the same bytes", "green")
            if verdict.differing:
                then = Text(f"other bytes: {verdict.differing[0]}", "red")
            table.add_row(kind, killed, then)
    show_table(console, table)
    if differing:
        raise typer.Exit(1)
    show(console, f"Killed runs on {name} ended as those that nobody disturbed.")
