"""The command that shows what fine-tuning would learn from, before it does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Option

from llm_explainer.commands.corpora import SPEC_HELP
from llm_explainer.errors import ConfigError
from llm_explainer.training.recipes import FINETUNING_BATCH

if TYPE_CHECKING:
    from llm_explainer.tokenizer import Tokenizer


def finetune_data(
    file: Annotated[
        Path | None,
        Argument(help="a JSONL file of records; without it, the questions about stories"),
    ] = None,
    base: Annotated[
        Path | None,
        Option("--from", help="the model to fine-tune, whose tokenizer and context count"),
    ] = None,
    tokenizer: Annotated[str | None, Option(help=SPEC_HELP)] = None,
    context_length: Annotated[
        int | None, Option(help="tokens that a model takes", min=1, show_default="192")
    ] = None,
    long_records: Annotated[
        Literal["cut", "refuse"], Option(help="what becomes of a record longer than the context")
    ] = "cut",
    batch_size: Annotated[int, Option(help="records in a batch, for the padding", min=1)] = (
        FINETUNING_BATCH
    ),
    stories: Annotated[int, Option(help="stories to ask about, without a file", min=1)] = 1000,
    records: Annotated[int, Option(help="records to show", min=0)] = 3,
) -> None:
    """Show what fine-tuning learns from: records as tokens, those lit that are trained.

    A line of the file is a JSON object with a prompt and a completion, with messages (each with a
    role and a content), or with a text. What is wrong with a line is said here, before a run.

    Examples:

      uv run run_demo.py finetune-data

      uv run run_demo.py finetune-data qa.jsonl --from runs/quick

      uv run run_demo.py finetune-data chats.jsonl --tokenizer stories:2000 --context-length 512
    """
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.console.records import show_records
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.training.finetune_data import STORIES, RecordsConfig, load_records
    from llm_explainer.training.record_batches import padding_of

    console = make_console()
    used, room, name = _reader(base, tokenizer, context_length)
    config = RecordsConfig(
        data=STORIES if file is None else str(file), long_records=long_records, stories=stories
    )
    with StageProgress(console) as progress:
        splits = load_records(config, used, room, progress.report)
    held_out = f"{len(splits.validation):,} more to be judged by"
    show(console, f"{splits.description}, {held_out}")
    show(console, f"tokenizer {name}, context {room:,} tokens", style="dim")
    show_records(
        console,
        splits.train,
        used,
        splits.counts,
        template=splits.template,
        padding=padding_of(splits.train, room, min(batch_size, len(splits.train))),
        n_shown=records,
    )


def _reader(
    base: Path | None, tokenizer: str | None, context_length: int | None
) -> tuple[Tokenizer, int, str]:
    """Return the tokenizer, the context, and what the tokenizer is called.

    Raises:
        LLMExplainerError: options that exclude each other; no such model or tokenizer.
    """
    from llm_explainer.checkpoint import load_config, load_tokenizer_of
    from llm_explainer.checkpoint.chat_templates import read_chat_template
    from llm_explainer.data.stories.questions import STORY_CONTEXT
    from llm_explainer.data.tokenizer_specs import STORIES, open_tokenizer

    if base is None:
        named = open_tokenizer(tokenizer or STORIES)
        if named.files and Path(named.name).is_dir():
            named.tokenizer.chat_template = read_chat_template(Path(named.name))
        return named.tokenizer, context_length or STORY_CONTEXT, named.name
    if tokenizer is not None:
        raise ConfigError(f"--from {base} has a tokenizer of its own; leave --tokenizer out")
    config = load_config(base)
    own = load_tokenizer_of(base, config)
    if own is None:
        raise ConfigError(
            f"{base} has no tokenizer, so it cannot be fine-tuned; take another model"
        )
    return own, context_length or config.context_length, str(base)
