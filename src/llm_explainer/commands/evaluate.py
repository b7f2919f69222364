"""The command that measures a model: on questions about stories, on records, or on a text."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.talking import Dtype, Quantize, load_named
from llm_explainer.errors import ConfigError
from llm_explainer.training.runs.names import RUNS, newest_run

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.tokenizer import Tokenizer
    from llm_explainer.training.evaluation import Evaluation
    from llm_explainer.training.exact_match import Answer

ASKING = "asking questions"
N_WRONG = 3
"""Wrong answers that are shown."""


def evaluate(
    run: Annotated[
        Path | None,
        typer.Argument(help="a run or a checkpoint; by default the newest run"),
    ] = None,
    questions: Annotated[int, Option(help="questions about stories to ask")] = 500,
    data: Annotated[
        Path | None, Option(help="measure answers to the records of this JSONL file instead")
    ] = None,
    corpus: Annotated[
        str | None,
        Option(help="measure the loss on this text instead: a name, a file, a folder, or -"),
    ] = None,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
) -> None:
    """Measure a model: how many questions about stories that nobody has read it answers right.

    An answer counts if it is right to the letter. Beside it stands what can be had without a look
    at the story, by the commonest answer to each question. With --data the questions are those of
    records of your own, and the loss on their answers is told too; with --corpus it is the loss on
    a text alone: nats a token, perplexity, bits a byte.

    Examples:

      uv run run_demo.py eval runs/full/finetuned

      uv run run_demo.py eval runs/qa --data held_out.jsonl

      uv run run_demo.py eval runs/quick --corpus my_text.txt
    """
    from llm_explainer.console.terminal import make_console, show

    if questions < 1:
        raise ConfigError(f"--questions is {questions}; it takes 1 or more")
    if data is not None and corpus is not None:
        raise ConfigError("--data and --corpus are two different things to measure; leave one out")
    console = make_console()
    path = run or newest_run(RUNS)
    if run is None:
        show(console, f"model: {path}", style="dim")
    model, tokenizer = load_named(path, backend=backend, dtype=dtype, quantize=quantize)
    if data is not None:
        _measure_records(model, tokenizer, data, console)
    elif corpus is not None:
        _measure_text(model, tokenizer, corpus, console)
    else:
        _measure_answers(model, tokenizer, questions, console)


def _measure_answers(model: Any, tokenizer: Tokenizer, n_asked: int, console: Console) -> None:
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.data.stories.questions import examination
    from llm_explainer.training.exact_match import ask_model, encode_question
    from llm_explainer.training.side_by_side import INVENTING

    with StageProgress(console) as progress:
        progress.report(INVENTING, 0, None)
        asked, baseline = examination(n_asked)
        progress.report(INVENTING, 1, 1)
        encoded = [encode_question(question, tokenizer) for question in asked]
        answers = ask_model(model, tokenizer, encoded, partial(progress.report, ASKING))
    _show_kinds(answers, baseline, console)
    _show_answers(answers, tokenizer, console)


def _show_kinds(answers: list[Answer], baseline: dict[str, float], console: Console) -> None:
    """Show how many are right of each kind of question."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from llm_explainer.console.tables import show_table
    from llm_explainer.training.exact_match import share_right, share_right_by_kind

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("question", no_wrap=True)
    for heading in ("asked", "right", "without the story"):
        table.add_column(heading, justify="right", no_wrap=True)
    for kind, share in share_right_by_kind(answers).items():
        n_asked = sum(answer.question.kind == kind for answer in answers)
        table.add_row(kind, f"{n_asked:,}", f"{share:.1%}", f"{baseline[kind]:.1%}")
    table.add_section()
    table.add_row("all", f"{len(answers):,}", f"{share_right(answers):.1%}", "")
    show_table(console, table)


def _show_answers(answers: list[Answer], tokenizer: Tokenizer, console: Console) -> None:
    """Say how answers end, and show a few that are wrong."""
    from llm_explainer.console.terminal import show
    from llm_explainer.training.exact_match import last_line, share_ended

    show(console, f"{share_ended(answers):.1%} of the answers end by the end token.")
    wrong = [answer for answer in answers if not answer.is_right][:N_WRONG]
    for answer in wrong:
        question = last_line(answer.question, tokenizer)
        given, expected = " ".join(answer.given.split()), answer.expected.strip()
        show(console, f"✗ {question} {given}  (right: {expected})", style="dim")


def _measure_records(model: Any, tokenizer: Tokenizer, file: Path, console: Console) -> None:
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.terminal import show
    from llm_explainer.training.exact_match import share_right
    from llm_explainer.training.records_measured import measure_records

    with StageProgress(console) as progress:
        measured = measure_records(model, tokenizer, file, partial(progress.report, ASKING))
    answers = measured.answers
    show(console, f"records         {measured.n_records:,}")
    _show_loss(measured.evaluation, console)
    if answers:
        n_right = round(share_right(answers) * len(answers))
        share = f"{n_right:,} of {len(answers):,}, {share_right(answers):.1%}"
        show(console, f"right           {share}, to the letter")
        _show_answers(answers, tokenizer, console)


def _measure_text(model: Any, tokenizer: Tokenizer, corpus: str, console: Console) -> None:
    from llm_explainer.console.terminal import working
    from llm_explainer.training.text_loss import text_loss

    with working(console, "reading"):
        measured = text_loss(model, tokenizer, corpus)
    _show_loss(measured, console)


def _show_loss(measured: Evaluation, console: Console) -> None:
    from llm_explainer.console.terminal import show

    show(console, f"loss            {measured.loss:.4f} nats a token")
    show(console, f"perplexity      {measured.perplexity:.2f}")
    if measured.bits_per_byte is not None:
        show(console, f"bits a byte     {measured.bits_per_byte:.3f}")
