"""The commands that fine-tune a model: all of its parameters, or adapters beside them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from llm_explainer.commands.options import Options, given, refuse, with_options
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.finetune_data import RecordsConfig
from llm_explainer.training.recipes import FINETUNING_DEFAULTS
from llm_explainer.training.runs.names import RUNS, newest_run, pretrained_on

if TYPE_CHECKING:
    from rich.console import Console

    from llm_explainer.training.finetune import Start
    from llm_explainer.training.runs.run import Run

NOT_HERE = ("windows", "init_scheme", "sample_prompt")
DATA = Options("Data", RecordsConfig)
ADAPTERS = Options("Adapters", LoRAConfig)
TRAINING = Options("Training", TrainConfig, omit=NOT_HERE, elsewhere=FINETUNING_DEFAULTS)

Base = Annotated[
    Path | None,
    Option(
        "--from",
        help="the model to start from: a run, a checkpoint, or a GPT-2 or Llama directory from "
        "elsewhere; by default the newest pre-training run under runs/, for stories one on stories",
    ),
]
Out = Annotated[Path | None, Option(help="the run folder; by default a new one under runs/")]
Overwrite = Annotated[bool, Option("--overwrite", help="replace the run in --out")]
Resume = Annotated[
    Path | None,
    Option(help="continue this run exactly; beside it, --backend, and --steps for more of them"),
]
Epochs = Annotated[
    float | None, Option(help="how often every record comes, instead of --steps", show_default="3")
]
Backend = Annotated[str, Option(help="auto, numpy or mlx")]


@with_options(DATA, TRAINING)
def finetune_full(
    context: typer.Context,
    base: Base = None,
    out: Out = None,
    overwrite: Overwrite = False,
    resume: Resume = None,
    epochs: Epochs = None,
    backend: Backend = "auto",
    **settings: Any,
) -> None:
    """Fine-tune a model: all of its parameters learn to give the answers in your records.

    Only answers are learned, and the token that ends them; what they answer is read. The run stands
    for its best checkpoint. Ctrl-C saves a checkpoint and says how to go on.

    Examples:

      uv run train_finetune_full.py

      uv run train_finetune_full.py --from runs/quick --data qa.jsonl --epochs 2 --out runs/qa

      uv run train_finetune_full.py --resume runs/qa
    """
    _finetune(context, "finetune-full", None)


@with_options(DATA, ADAPTERS, TRAINING)
def finetune_lora(
    context: typer.Context,
    base: Base = None,
    out: Out = None,
    overwrite: Overwrite = False,
    resume: Resume = None,
    epochs: Epochs = None,
    backend: Backend = "auto",
    **settings: Any,
) -> None:
    """Fine-tune a model with LoRA: only small adapters beside its parameters learn.

    The base stays as it is, and what is saved is a few hundredths of its size, in the format of
    PEFT. `run_demo.py merge` makes an ordinary model of both.

    Examples:

      uv run train_finetune_lora.py

      uv run train_finetune_lora.py --from runs/full/pretrained --rank 4 --targets q_proj,v_proj

      uv run train_finetune_lora.py --data qa.jsonl --rank 16 --dora --out runs/qa-dora
    """
    _finetune(context, "finetune-lora", ADAPTERS)


def _finetune(context: typer.Context, name: str, adapters: Options | None) -> None:
    """Start or continue a run as the options in ``context`` say, and train."""
    from llm_explainer.commands.training import finish
    from llm_explainer.console.terminal import make_console, show
    from llm_explainer.training.runs.folder import RunFolder
    from llm_explainer.training.runs.run import resume_run

    console = make_console()
    typed, values = given(context), context.params
    resume = values["resume"]
    if resume is not None:
        refuse(
            typed - {"resume", "backend", "steps"},
            "--resume continues a run exactly as it was set up",
        )
        run = resume_run(
            RunFolder(resume),
            backend=values["backend"] if "backend" in typed else None,
            steps=values["steps"] if "steps" in typed else None,
        )
        show(console, f"resuming {resume} after step {run.trainer.step:,}")
    else:
        run = _start(values, name, adapters, console)
    finish(run, console, *_command_to_talk(run))


def _command_to_talk(run: Run) -> tuple[str, ...]:
    """Return the command that shows what a run's model has learned, and its options."""
    from llm_explainer.tokenizer.chat_template import WORD_FOR_WORD

    assert run.trainer.tokenizer is not None  # with none, nothing can be fine-tuned
    template = run.trainer.tokenizer.chat_template
    if template is None:
        return ("generate",)
    return ("ask",) if template.source == WORD_FOR_WORD else ("chat",)


def _start(values: dict[str, Any], name: str, adapters: Options | None, console: Console) -> Run:
    """Look at the records, show them, and prepare a run."""
    from llm_explainer.console.progress import StageProgress
    from llm_explainer.training.finetune import finetune_settings, open_start
    from llm_explainer.training.runs.folder import RunFolder
    from llm_explainer.training.runs.run import start_run

    data = RecordsConfig(**DATA.take(values))
    lora = None if adapters is None else LoRAConfig(**adapters.take(values))
    base = values["base"] or find_base(data, console)
    _hint(base, data, console)
    with StageProgress(console) as progress:
        start = open_start(base, data, progress.report)
    plan = finetune_settings(
        start,
        lora,
        epochs=values["epochs"],
        backend=values["backend"],
        **TRAINING.take(values),
    )
    _look(start, plan.train.batch_size, console)
    overwrite = values["overwrite"]
    folder = RunFolder.asked_for(values["out"], name, overwrite=overwrite)
    with StageProgress(console) as progress:
        return start_run(plan, folder, overwrite=overwrite, report=progress.report)


def _hint(base: Path, data: RecordsConfig, console: Console) -> None:
    """Say so where a base has read no story that it is to answer questions about."""
    from llm_explainer.console.terminal import show
    from llm_explainer.training.finetune_data import STORIES

    corpus = pretrained_on(base)
    if data.data == STORIES and corpus not in (None, STORIES):
        show(
            console,
            f"note: {base} was pre-trained on {corpus}, so stories and questions about them are "
            "both new to it; --data takes records that suit it",
        )


def _look(start: Start, batch_size: int, console: Console) -> None:
    """Show some records and what of them is learned, before it is."""
    from llm_explainer.console.records import show_records
    from llm_explainer.training.record_batches import padding_of

    records = start.records
    show_records(
        console,
        records.train,
        start.tokenizer,
        records.counts,
        template=records.template,
        padding=padding_of(
            records.train, start.config.context_length, batch_size, packing=start.packing
        ),
        n_shown=1,
    )


def find_base(data: RecordsConfig, console: Console) -> Path:
    """Return the newest pre-training run that suits this data, and say which it is.

    Raises:
        CheckpointError: there is none.
    """
    from llm_explainer.console.terminal import show
    from llm_explainer.data.stories.questions import STORY_CONTEXT
    from llm_explainer.training.finetune_data import STORIES

    if data.data == STORIES:
        base = newest_run(RUNS, pretrained=True, corpus=STORIES, context=STORY_CONTEXT)
    else:
        base = newest_run(RUNS, pretrained=True)
    show(console, f"base: {base}")
    return base
