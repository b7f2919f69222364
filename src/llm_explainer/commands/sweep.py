"""The command that trains with every combination of some options, and compares what came of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from typer import Option

from llm_explainer.commands.sweep_options import Script
from llm_explainer.commands.sweep_plan import SCRIPTS, Planned, plan_runs
from llm_explainer.commands.training import stop_on_interrupt
from llm_explainer.console.progress import StageProgress
from llm_explainer.console.sweep_table import divergence_lines, sweep_table
from llm_explainer.console.tables import show_table
from llm_explainer.console.terminal import make_console, show
from llm_explainer.errors import ConfigError, Diverged
from llm_explainer.training.events import Event, StepDone
from llm_explainer.training.runs.names import RUNS
from llm_explainer.training.runs.run import Run, resume_run, start_run
from llm_explainer.training.sweeps.figure import draw_sweep
from llm_explainer.training.sweeps.folder import SweepFolder, SweepRecord, find_folder
from llm_explainer.training.sweeps.grid import combinations
from llm_explainer.training.sweeps.results import read_results

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
    console = make_console()
    used = _script(script)
    choices = used.choices(context.args)
    all_seeds = _read_seeds(seeds)
    swept = {name: values for name, values in choices.items() if len(values) > 1}
    plan = list(combinations({name: [v.text for v in values] for name, values in swept.items()}))
    with StageProgress(console) as progress:
        runs = plan_runs(script, choices, plan, all_seeds, tokens, console, progress.report)
    fixed = {name: values[0].text for name, values in choices.items() if len(values) == 1}
    record = SweepRecord(
        script=script,
        swept={name: [value.text for value in values] for name, values in swept.items()},
        fixed=fixed | ({} if tokens is None else {"tokens": str(tokens)}),
        seeds=all_seeds,
    )
    folder = find_folder(RUNS, record) if out is None else SweepFolder(out)
    folder.begin(record)
    show(console, f"{len(runs)} runs in {folder.path}: {len(plan)} × {len(all_seeds)} seeds")
    _train_all(runs, folder, console)
    results = read_results(folder, plan, all_seeds)
    draw_sweep(results, folder.picture)
    show_table(console, sweep_table(results))
    for line in divergence_lines(results):
        show(console, line)
    show(console, f"picture  {folder.picture}")


def _script(name: str) -> Script:
    if name not in SCRIPTS:
        raise ConfigError(f"script is {name!r}; choose one of {', '.join(SCRIPTS)}")
    return SCRIPTS[name]


def _read_seeds(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isascii() and word.isdecimal() for word in words):
        raise ConfigError(f"seeds is {text!r}; it takes whole numbers, such as 0,1,2")
    seeds = [int(word) for word in words]
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"seeds is {text!r}; name each once")
    return seeds


def _train_all(runs: list[Planned], folder: SweepFolder, console: Console) -> None:
    """Train what has not ended yet.

    Raises:
        Exit: a signal; how to go on has been said.
    """
    for number, planned in enumerate(runs, start=1):
        state = folder.state(planned.name)
        if state in ("finished", "diverged"):
            continue
        place = folder.run(planned.name)
        # One that was killed before it had a checkpoint is begun anew.
        run = (
            resume_run(place)
            if state == "begun"
            else start_run(planned.settings, place, overwrite=True)
        )
        stage = f"{number}/{len(runs)}: {planned.combination}, seed {planned.seed}"
        try:
            with StageProgress(console) as progress:
                steps = run.trainer.config.steps
                exit_code = _train(run, partial(progress.report, stage, total=steps))
        except Diverged as error:
            folder.note_divergence(planned.name, error)
            continue
        if exit_code:
            show(
                console,
                f"stopped in run {number}, step {run.trainer.step:,}; the same command goes on",
            )
            raise typer.Exit(exit_code)


def _train(run: Run, report: Callable[..., None]) -> int:
    """Train to the end, or to a signal; return the exit code that it asks for, or 0."""

    def watch(event: Event) -> None:
        if isinstance(event, StepDone):
            report(done=event.step)

    with stop_on_interrupt(run.trainer) as ending:
        result = run.train([watch])
    return 0 if result.finished else ending.exit_code
