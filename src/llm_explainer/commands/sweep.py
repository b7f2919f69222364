"""The command that trains with every combination of some options, and compares what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from typer import Option

SCRIPTS = ("pretrain", "finetune-full", "finetune-lora")
EXTRA = {"ignore_unknown_options": True, "allow_extra_args": True}
"""What typer has to let through: the options of the scripts."""


def sweep(
    context: typer.Context,
    script: Annotated[str, Option(help="whose options: " + ", ".join(SCRIPTS))] = "pretrain",
    seeds: Annotated[str, Option(help="every combination is trained with each")] = "0,1,2",
    tokens: Annotated[
        int | None,
        Option(help="pretrain: steps are as many as train on so many tokens, whatever the batch"),
    ] = None,
    out: Annotated[
        Path | None,
        Option(help="the folder; by default that of the same sweep, or runs/sweep, sweep-2, ..."),
    ] = None,
) -> None:
    """Train with every combination of options, and compare: a table and a picture.

    Any option of the script may have several values, divided by commas; a switch has them as
    --bias --no-bias. What is given once holds for all runs. Each is an ordinary run in the sweep's
    folder. The same command again goes on where it was stopped, and shows the table when all is
    done; more values or seeds are added with the same --out. A run that diverges is told with the
    layer that was first, and the others go on.

    Examples:

      uv run run_demo.py sweep --learning-rate 1e-4,1e-3,1e-2 --batch-size 16,64

      uv run run_demo.py sweep --size tiny --norm-position pre,post --position learned,rope

      uv run run_demo.py sweep --script finetune-lora --rank 2,4,8,16 --epochs 1
    """
    from llm_explainer.commands.sweep_work import run_sweep

    run_sweep(context.args, script, seeds, tokens, out)
