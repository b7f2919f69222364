"""The main job in two minutes: from no data at all to a model that tells stories."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Option

from llm_explainer.program import typed

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.training.pretrain import PretrainSettings
    from llm_explainer.training.runs.run import Run

STEPS = 4200
N_CHECKED = 20
N_SHOWN = 3
STORY_TOKENS = 127
PAGE_TOKENS = 64
TEMPERATURE, TOP_P = 0.7, 0.9


def quick(
    out: Annotated[
        Path | None, Option(help="the run folder; by default runs/quick, runs/quick-2, ...")
    ] = None,
    steps: Annotated[int, Option(help="updates; fewer are faster and tell worse stories")] = STEPS,
    seed: Annotated[int, Option(help="another seed, another model")] = 0,
    overwrite: Annotated[bool, Option("--overwrite", help="replace the run in --out")] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
) -> None:
    """Train a small story teller from scratch, in about two minutes, with no network.

    Invents stories, learns a tokenizer and trains a Llama-style transformer on them, with
    gradients written by hand in NumPy. Then the model tells stories of its own, and a checker that
    knows the stories' world reads them.

    Examples:

      uv run run_demo.py quick

      uv run run_demo.py quick --steps 100 --out runs/first
    """
    from rich.text import Text

    from llm_explainer.commands.training import train_and_report
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.training.runs.folder import RunFolder
    from llm_explainer.training.runs.run import start_run

    console = make_console()
    settings = quick_settings(steps, seed, backend)
    folder = RunFolder.asked_for(out, "quick", overwrite=overwrite)
    show(console, Text("1.", "bold"), " Stories are invented, and a tokenizer learns their words.")
    with StageProgress(console) as progress:
        run = start_run(settings, folder, overwrite=overwrite, report=progress.report)
    step_2 = f" A model learns to predict the next token, {steps:,} times over."
    show(console, Text("2.", "bold"), step_2)
    show(console, run.preflight.summary())
    train_and_report(run, console)
    show(console, Text("3.", "bold"), " It tells stories of its own.")
    story = _tell_stories(run, seed, console)
    _write_page(run, story, folder.page_file, console)
    _suggest(folder.path, console)


def quick_settings(steps: int, seed: int, backend: str) -> PretrainSettings:
    """Return what this command trains: no recipe of a size, but what tells stories soonest."""
    from llm_explainer.training.config import TrainConfig
    from llm_explainer.training.pretrain import DataConfig, PretrainSettings

    return PretrainSettings(
        data=DataConfig(
            corpus="stories",
            max_bytes=8_000_000,
            val_fraction=0.025,  # about a thousand stories
            vocab_size=1280,
        ),
        size="small",
        family="llama",
        model={"n_layers": 3, "context_length": 128},  # a whole story fits into the context
        train=TrainConfig(
            steps=steps,
            # Many small steps: what counts for copying names is the number of updates.
            batch_size=4,
            windows="documents",
            learning_rate=4e-3,
            min_learning_rate=1.2e-4,
            warmup_steps=min(100, steps // 2),
            beta2=0.99,
            eval_every=500,
            eval_windows=64,
            sample_every=500,
            checkpoint_every=1000,
            keep_milestones=6,
            seed=seed,
        ),
        backend=backend,
    )


def _tell_stories(run: Run, seed: int, console: Console) -> str:
    """Let the model tell stories, show some, say how many hold together; return the first."""
    from rich.panel import Panel
    from rich.text import Text

    from llm_explainer.console.terminal import show, working
    from llm_explainer.data.stories import check_story
    from llm_explainer.generation import generate_batch

    tokenizer = run.trainer.tokenizer
    assert tokenizer is not None  # quick always trains one
    with working(console, f"telling {N_CHECKED} stories"):
        stories = generate_batch(
            run.trainer.model,
            tokenizer,
            [""] * N_CHECKED,
            max_tokens=STORY_TOKENS,
            temperature=TEMPERATURE,
            top_p=TOP_P,
            seed=seed,
        )
    reports = [check_story(story) for story in stories]
    for story, report in list(zip(stories, reports, strict=True))[:N_SHOWN]:
        verdict = "holds together" if report.ok else f"does not hold together: {report.problems[0]}"
        console.print(
            Panel(Text(story.strip()), subtitle=Text(verdict), width=min(console.width, 88))
        )
    n_ok = sum(report.ok for report in reports)
    show(
        console,
        Text(f"{n_ok} of {N_CHECKED}", "bold"),
        " stories keep their characters, places and things straight.",
    )
    return stories[0]


def _write_page(run: Run, story: str, path: Path, console: Console) -> None:
    """Write the page that shows how the model reads the beginning of a story."""
    from llm_explainer.console.terminal import show, working
    from llm_explainer.explorer import explore
    from llm_explainer.explorer.html import is_page

    tokenizer = run.trainer.tokenizer
    assert tokenizer is not None  # quick always trains one
    text = tokenizer.decode(tokenizer.encode_ordinary(story)[:PAGE_TOKENS])
    if not text or (path.exists() and not is_page(path)):  # nothing to read, or somebody's file
        return
    with working(console, "looking inside"):
        explore(run.trainer.model, tokenizer, text, name=path.parent.name).save(path)
    show(console, f"Look inside, while it reads the first one: open {path} in a browser.")


def _suggest(run: Path, console: Console) -> None:
    from llm_explainer.console.terminal import show_next

    generate = typed("generate", run)
    suggestions = (
        (f'{generate} --prompt "Once"', "continue a text of yours"),
        (f"{generate} --interactive", "try one text after the other"),
        (typed("gradcheck"), "see that every hand-written gradient is right"),
        (typed("pretrain", "--help"), "train on your own text"),
    )
    show_next(console, suggestions)
