"""What mac-accel shows when its run is done: a sample, the comparison, what to do next."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from llm_explainer.backend import load_backend
from llm_explainer.console.run_table import run_table
from llm_explainer.console.tables import show_table
from llm_explainer.console.terminal import show, show_next, working
from llm_explainer.generation import generate
from llm_explainer.machine import available_memory
from llm_explainer.model_spec import ModelSpec
from llm_explainer.program import typed
from llm_explainer.spelling import command_line, spelled_out
from llm_explainer.training.runs.comparison import FinishedRun, comparable, find_runs, read_run
from llm_explainer.training.runs.comparison_figure import draw_comparison
from llm_explainer.training.runs.run import Run
from llm_explainer.training.step_timer import measure_speed

PICTURE = "comparison.png"
DEVICES = {"metal": "Metal GPU", "cuda": "CUDA GPU", "cpu": "CPU"}
SAMPLE_TOKENS, TEMPERATURE, TOP_P = 200, 0.7, 0.9


def report(run: Run, nn: ModuleType, console: Console, *, is_default: bool) -> None:
    """Show what the model of a finished run on ``nn`` writes, and how the run compares.

    ``is_default`` says whether its folder is where the command keeps runs unless told otherwise.
    """
    show(console, Text("4.", "bold"), " What it writes:")
    show_sample(run, console)
    this = read_run(run.folder)
    assert this is not None  # it has just finished
    show(console, Text("5.", "bold"), " The same model in NumPy, for a moment:")
    speeds = compare_speeds(run, nn, this, console)
    runs = comparable(this, find_runs(run.folder.path.parent))
    others = len(runs) - 1
    beside = f" This run beside {others or 'no'} other{'s' * (others != 1)}:"
    show(console, Text("6.", "bold"), beside)
    show_table(console, run_table(runs, this))
    picture = run.folder.path.parent / PICTURE
    draw_comparison(runs, this, speeds, picture)
    show(console, f"picture     {picture}")
    suggest(run.folder.path, nn, console, is_default=is_default)


def show_sample(run: Run, console: Console) -> None:
    """Show a text by the model, from the beginning of one where its corpus has beginnings."""
    trainer = run.trainer
    assert trainer.tokenizer is not None  # one was trained
    with working(console, "writing"):
        pieces = generate(
            trainer.model,
            trainer.tokenizer,
            "",
            max_tokens=SAMPLE_TOKENS,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            seed=trainer.config.seed,
            windowed=True,
        )
        text = "".join(pieces).strip()
    console.print(Panel(Text(spelled_out(text)), width=min(console.width, 88)))


def compare_speeds(
    run: Run, nn: ModuleType, this: FinishedRun, console: Console
) -> dict[str, float]:
    """Measure the model in NumPy; return and show the tokens a second of each backend."""
    reference, trainer = load_backend("numpy"), run.trainer
    own = f"MLX, {DEVICES[nn.device_kind()]}"
    if nn is reference:
        show(console, f"  this run was it: {this.tokens_per_s:,.0f} tokens/s")
        return {"NumPy": this.tokens_per_s}
    speeds = {own: this.tokens_per_s}
    spec, train = ModelSpec.of(trainer.model), trainer.config
    needed = reference.training_bytes(spec, train.batch_size, train.workers)
    if needed > available_memory():
        show(console, f"  left out: it would take {needed / 1e9:.1f} GB of memory")
        return speeds
    with working(console, "training in NumPy"):
        speeds["NumPy"] = measure_speed(reference, spec, train)
    ratio = speeds[own] / speeds["NumPy"]
    verdict = (
        f"MLX is {ratio:.1f} times as fast"
        if ratio >= 1
        else f"NumPy is {1 / ratio:.1f} times as fast"
    )
    show(
        console,
        f"  {own}: {speeds[own]:,.0f} tokens/s; NumPy, {train.workers} workers: "
        f"{speeds['NumPy']:,.0f} tokens/s. ",
        Text(f"{verdict}.", "bold"),
    )
    return speeds


def suggest(path: Path, nn: ModuleType, console: Console, *, is_default: bool) -> None:
    """Say what to do next."""
    is_mlx = nn is not load_backend("numpy")
    options = "" if is_default else " " + command_line("--out", path.parent)
    if is_mlx and nn.device_kind() == "cpu":
        options += " --backend numpy"  # MLX's build for the CPU would take very long
    generate = typed("generate", path)
    suggestions = (
        (f"{typed('mac-accel')} --data-size 0.5{options}", "what more data changes"),
        (f"{typed('mac-accel')} --size small{options}", "what a larger model changes"),
        (generate, "continue a text of yours"),
        (f"{generate} --backend {'numpy' if is_mlx else 'mlx'}", "on the other backend"),
    )
    show_next(console, suggestions)
