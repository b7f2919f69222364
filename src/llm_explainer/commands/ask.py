"""The command that tells a story and lets a model answer questions about it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.talking import Dtype, Quantize, load_named
from llm_explainer.errors import ConfigError
from llm_explainer.training.runs.names import RUNS, newest_run

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.data.stories.questions import StoryQuestion
    from llm_explainer.tokenizer import Tokenizer


def ask(
    run: Annotated[
        Path | None,
        typer.Argument(help="a fine-tuned run, or any checkpoint; by default the newest run"),
    ] = None,
    questions: Annotated[int, Option(help="questions to ask")] = 6,
    seed: Annotated[int, Option(help="another seed, another story")] = 0,
    interactive: Annotated[
        bool, Option("--interactive", "-i", help="then ask questions of your own")
    ] = False,
    backend: Annotated[str, Option(help="auto, numpy or mlx")] = "auto",
    dtype: Dtype = "float32",
    quantize: Quantize = None,
) -> None:
    """Tell a story that no model has read, and let a model answer questions about it.

    The stories come from a little world with facts, so every answer is right or wrong, and the
    world says which.

    Examples:

      uv run run_demo.py ask

      uv run run_demo.py ask runs/full/lora --seed 7

      uv run run_demo.py ask runs/full/finetuned --interactive
    """
    from rich.text import Text

    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.data.stories.questions import one_story

    if questions < 1:
        raise ConfigError(f"--questions is {questions}; it takes 1 or more")
    console = make_console()
    path = run or newest_run(RUNS)
    if run is None:
        show(console, f"model: {path}", style="dim")
    model, tokenizer = load_named(path, backend=backend, dtype=dtype, quantize=quantize)
    known = one_story(seed)
    console.print(Text(known[0].story), width=min(console.width, 88))
    _answer(one_wording_each(known)[:questions], model, tokenizer, console)
    if interactive:
        _converse(known, model, tokenizer, console)


def one_wording_each(questions: list[StoryQuestion]) -> list[StoryQuestion]:
    """Return the questions that differ in more than their wording: in kind or answer."""
    found = {(question.kind, question.answer): question for question in questions}
    return list(found.values())


def _answer(
    questions: list[StoryQuestion], model: Any, tokenizer: Tokenizer, console: Console
) -> None:
    """Show each question with the model's answer, and where that is wrong the world's."""
    from llm_explainer.console.terminal import show
    from llm_explainer.training.exact_match import ask_model, encode_question, share_right

    answers = ask_model(model, tokenizer, [encode_question(q, tokenizer) for q in questions])
    show(console, "")
    for question, answer in zip(questions, answers, strict=True):
        _show_answer(question.question, answer.given, question.answer, console)
    n_right = round(share_right(answers) * len(answers))
    show(console, "")
    show(console, f"{n_right} of {len(answers)} right, as the world has it.")


def _converse(
    known: list[StoryQuestion], model: Any, tokenizer: Tokenizer, console: Console
) -> None:
    """Answer what a person asks about the story until the input ends."""
    from llm_explainer.commands.history import typed_lines
    from llm_explainer.console.terminal import show
    from llm_explainer.data.stories.questions import StoryQuestion
    from llm_explainer.training.exact_match import ask_model, encode_question

    right = {question.question.lower(): question.answer for question in known}
    show(console, "Ask something about the story; Ctrl-D ends.", style="dim")
    for line in typed_lines("? "):
        text = line.strip()
        if text:
            question = StoryQuestion(known[0].story, text, right.get(text.lower(), ""), "")
            [answer] = ask_model(model, tokenizer, [encode_question(question, tokenizer)])
            _show_answer("", answer.given, question.answer, console)


def _show_answer(question: str, given: str, right: str, console: Console) -> None:
    """Show one answer; ``right`` is empty where the world does not know."""
    from rich.text import Text

    from llm_explainer.console.terminal import show

    given = given.strip()
    is_right = given == right
    mark = Text("  ") if not right else Text("✓ ", "green") if is_right else Text("✗ ", "red")
    correction = "" if is_right or not right else f"  (right: {right})"
    show(console, mark, f"{question} " if question else "", Text(given, "bold"), correction)
