"""What full shows at its end: three models in one table, one picture, and six questions."""

from __future__ import annotations

import json
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llm_explainer.commands.full_stages import BASE, LORA, TUNED
from llm_explainer.console.progress import StageProgress
from llm_explainer.console.tables import show_table
from llm_explainer.console.terminal import show, show_next
from llm_explainer.data.stories.questions import KINDS
from llm_explainer.files import write_atomically
from llm_explainer.program import typed
from llm_explainer.training.exact_match import share_ended, share_right, share_right_by_kind
from llm_explainer.training.side_by_side import ModelResult, SideBySide, examine, to_dict
from llm_explainer.training.side_by_side_figure import draw_side_by_side

RESULTS, PICTURE = "results.json", "side-by-side.png"
NAMES = {BASE: "base", TUNED: "full", LORA: "LoRA"}
N_SHOWN = 6


def report(folder: Path, n_questions: int, console: Console, backend: str) -> None:
    """Examine the three models of ``folder``, and show what came of it."""
    runs = [(name, folder / run) for run, name in NAMES.items()]
    with StageProgress(console) as progress:
        results = examine(runs, n_questions, backend, progress.report)
    show_table(console, results_table(results))
    show(console, "right: to the letter, of answers to questions about stories that none has read;")
    show(console, "guess: the commonest answer to the question, without a look at the story;")
    show(console, "old task: loss on stories, in nats a token, which shows what was forgotten.")
    show(console, "")
    _show_answers(results, console)
    picture = folder / PICTURE
    draw_side_by_side(results, picture)
    write_atomically(folder / RESULTS, (json.dumps(to_dict(results), indent=2) + "\n").encode())
    show(console, f"picture     {picture}")
    show(console, f"figures     {folder / RESULTS}")
    tuned = folder / LORA
    show_next(
        console,
        (
            (typed("ask", tuned, "--seed", "7"), "another story"),
            (
                typed("merge", tuned, "--out", folder / "merged"),
                "the adapters become part of the weights: an ordinary model",
            ),
            (typed("finetune-lora", "--help"), "fine-tune on records of your own"),
        ),
    )


def results_table(results: SideBySide) -> Table:
    """Return a row for each figure, a column for each model."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("", no_wrap=True)
    for model in results.models:
        table.add_column(model.name, justify="right", no_wrap=True)
    table.add_column("guess", justify="right", no_wrap=True)
    shares = [share_right_by_kind(model.answers) for model in results.models]
    for kind in KINDS:
        if kind in results.baseline:
            row = [f"{by_kind[kind]:.1%}" for by_kind in shares]
            table.add_row(f"right: {kind}", *row, f"{results.baseline[kind]:.1%}")
    for name, cells in _rows(results.models):
        table.add_row(name, *cells, "")
    return table


def _rows(models: list[ModelResult]) -> list[tuple[str, list[str]]]:
    outcomes = [model.outcome for model in models]
    return [
        ("right: all", [f"{share_right(model.answers):.1%}" for model in models]),
        ("ends by the end token", [f"{share_ended(model.answers):.1%}" for model in models]),
        ("loss on the old task", [f"{model.old_loss:.3f}" for model in models]),
        ("parameters that learn", [f"{outcome.n_trained:,}" for outcome in outcomes]),
        ("seconds of training", [f"{outcome.seconds:,.0f}" for outcome in outcomes]),
        ("peak memory, MB", [f"{outcome.peak_memory / 1e6:,.0f}" for outcome in outcomes]),
        ("on disk, MB", [f"{outcome.size_bytes / 1e6:,.2f}" for outcome in outcomes]),
    ]


def _show_answers(results: SideBySide, console: Console) -> None:
    """Show some questions with every model's answer."""
    asked = results.questions[:N_SHOWN]
    for place, question in enumerate(asked):
        console.print(Text(question.story, "dim"), width=min(console.width, 88))
        show(console, Text(question.question, "bold"), f" {question.answer}")
        for model in results.models:
            answer = model.answers[place]
            mark = Text("✓", "green") if answer.is_right else Text("✗", "red")
            given = " ".join(answer.given.split())
            show(console, "  ", mark, f" {model.name:<5} {given}")
        show(console, "")
