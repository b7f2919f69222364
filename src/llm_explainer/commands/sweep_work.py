"""A sweep at work: plan its runs, train them one after the other, compare what came of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import typer
from rich.console import Console

from llm_explainer.commands.sweep_options import Script
from llm_explainer.commands.sweep_plan import SCRIPTS, Planned, plan_runs, with_base
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


def run_sweep(
    arguments: list[str], script: str, seeds: str, tokens: int | None, out: Path | None
) -> None:
    """Plan the runs, train those that have not ended, and show what came of all.

    ``arguments`` are the script's options, as they were typed; the others are those of ``sweep``.

    Raises:
        ConfigError: an option that there is not, or a value that cannot work.
    """
    console = make_console()
    used = _script(script)
    if not arguments:
        raise ConfigError(
            "there is nothing to compare; give an option several values, such as "
            "--learning-rate 1e-4,1e-3"
        )
    choices = with_base(script, used.choices(arguments), console)
    all_seeds = _read_seeds(seeds)
    swept = {name: values for name, values in choices.items() if len(values) > 1}
    plan = list(combinations({name: [v.text for v in values] for name, values in swept.items()}))
    with StageProgress(console) as progress:
        runs = plan_runs(script, choices, plan, all_seeds, tokens, progress.report)
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
