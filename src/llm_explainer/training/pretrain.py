"""From a corpus to a trainer that is ready to go: tokenizer, token files, model, run folder."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_explainer.backend import load_backend
from llm_explainer.checkpoint import load_checkpoint, load_model
from llm_explainer.config import ModelConfig
from llm_explainer.data.corpora import VALIDATION_FRACTION, Text, load_corpus
from llm_explainer.data.token_files import check_ids, open_tokens, write_tokens
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.settings import setting
from llm_explainer.tokenizer import (
    END_OF_TEXT,
    UNKNOWN,
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
    load_tokenizer,
)
from llm_explainer.training.batches import WindowBatches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.events import Observer
from llm_explainer.training.preflight import Preflight, preflight
from llm_explainer.training.processes import Processes
from llm_explainer.training.run_folder import RunFolder
from llm_explainer.training.trainer import Trainer

Report = Callable[[str, int, int | None], None]
"""Called with a stage's name, what is done and what there is in all (None where not known)."""

TOKENIZER_KINDS = ("bpe", "char", "word")
TOKENIZER_BYTES = 20_000_000
"""Text that a tokenizer learns from: more would hardly change its merges."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on: a corpus and a tokenizer for it, or token files made elsewhere."""

    corpus: str = setting(
        "auto", "stories, shakespeare, tinystories, auto, or the path of a text file or folder"
    )
    max_bytes: int | None = setting(None, "take this much of the corpus; without it, all")
    train_bytes: int | None = setting(
        None, "train on the first bytes only; unlike with max_bytes, validation text stays whole"
    )
    val_fraction: float = setting(
        VALIDATION_FRACTION, "share of the corpus that is kept for validation"
    )
    tokenizer: str = setting("bpe", "bpe, char, word, or the path of a tokenizer.json")
    vocab_size: int | None = setting(None, "tokens to learn (bpe, word); without it, the size's")
    train_data: str | None = setting(None, "a .npy file of token ids, instead of a corpus")
    val_data: str | None = setting(None, "the same for validation")

    def __post_init__(self) -> None:
        """Check that the two token files come together."""
        if (self.train_data is None) != (self.val_data is None):
            given = "train_data" if self.train_data else "val_data"
            raise ConfigError(
                f"only {given} is given; token files come in pairs: train_data, val_data"
            )


@dataclass(frozen=True, kw_only=True)
class PretrainSettings:
    """Everything that decides a run. ``model`` leaves out ``vocab_size``: the tokenizer knows."""

    data: DataConfig
    train: TrainConfig
    size: str = "small"
    family: str = "gpt2"
    model: dict[str, Any] = dataclasses.field(default_factory=dict)  # changes to the preset
    backend: str = "auto"
    start_from: str | None = None  # a checkpoint whose weights and tokenizer to start with


@dataclass(frozen=True)
class Run:
    """A trainer in its folder, one line that says what it trains, and what that will take."""

    trainer: Trainer
    folder: RunFolder
    description: str
    preflight: Preflight


def start_run(
    settings: PretrainSettings,
    folder: RunFolder,
    *,
    overwrite: bool = False,
    observers: Sequence[Observer] = (),
    report: Report = lambda stage, done, total: None,
    processes: Processes | None = None,
) -> Run:
    """Prepare a new run in ``folder``.

    Raises:
        LLMExplainerError: settings, corpus, token files or folder that cannot work. A folder that
            holds another run is left as it is unless ``overwrite``.
    """
    nn = load_backend(settings.backend)
    nn.check_dtype(settings.train.dtype)
    preset = ModelConfig.preset(settings.size, family=settings.family, **settings.model)
    start = load_checkpoint(settings.start_from, settings.backend) if settings.start_from else None
    folder.create(overwrite=overwrite)
    try:
        tokenizer, source = _prepare_data(
            settings.data, preset.vocab_size, start[1] if start else None, folder, report
        )
        train = settings.train
        vocab_size = tokenizer.vocab_size if tokenizer else settings.data.vocab_size
        if vocab_size is None:
            vocab_size = preset.vocab_size
        config = start[0].config if start else dataclasses.replace(preset, vocab_size=vocab_size)
        train = dataclasses.replace(train, threads=train.threads or nn.available_cores())
        # Before the model is made: for a moment, the one that is measured takes the memory of it.
        n_processes = 1 if processes is None else processes.size
        forecast = preflight(nn, config, train, n_processes=n_processes)
        train = dataclasses.replace(train, micro_batch=forecast.micro_batch)
        model = start[0] if start else nn.GPT(config, train.seed, train.init_scheme)
        record = {
            "kind": "pretrain",
            "backend": nn.__name__.rpartition(".")[2].removesuffix("_backend"),
            "corpus": source,
            "data": dataclasses.asdict(settings.data),
            "start_from": settings.start_from,
            "model": model.config.to_dict(),
            "train": train.to_dict(),
        }
        batches = _open_batches(folder, model.config, train, tokenizer)
        trainer = Trainer(nn, model, tokenizer, batches, train, folder, observers, processes)
        folder.write_settings(record)
    except BaseException:  # Ctrl-C too
        folder.give_back()
        raise
    return Run(trainer, folder, describe(record, processes), forecast)


def resume_run(
    folder: RunFolder,
    observers: Sequence[Observer] = (),
    *,
    backend: str | None = None,
    processes: Processes | None = None,
) -> Run:
    """Continue the run in ``folder`` exactly where its newest checkpoint stands.

    ``backend`` names another than the run began with; sums are then rounded otherwise, as they are
    with another number of ``processes``.

    Raises:
        LLMExplainerError: no run, or one that is damaged; a backend that this machine lacks.
    """
    record = folder.read_settings()
    newest = folder.newest()
    if backend is not None:
        record["backend"] = backend
    try:
        train, backend = TrainConfig(**record["train"]), record["backend"]
        # Runs that were recorded without one had batches in one piece.
        train = dataclasses.replace(train, micro_batch=train.micro_batch or train.batch_size)
        description = describe(record, processes)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{folder.settings_file} is damaged: {error}") from error
    nn = load_backend(backend)
    model = load_model(newest, backend)
    has_tokenizer = (newest / "tokenizer.json").exists()  # token files may come without one
    tokenizer = load_tokenizer(newest / "tokenizer.json") if has_tokenizer else None
    batches = _open_batches(folder, model.config, train, tokenizer)
    trainer = Trainer(nn, model, tokenizer, batches, train, folder, observers, processes)
    trainer.resume()
    n_processes = 1 if processes is None else processes.size
    forecast = preflight(nn, model.config, train, first_step=trainer.step, n_processes=n_processes)
    return Run(trainer, folder, description, forecast)


def describe(record: dict[str, Any], processes: Processes | None = None) -> str:
    """Return a run's settings in one line, for people."""
    config = ModelConfig(**record["model"])
    family = config.family or "custom"
    n_parameters = config.count_parameters() / 1e6
    backend, train = record["backend"], TrainConfig(**record["train"])
    if backend == "numpy":  # MLX schedules its own work
        backend += f", {train.threads} threads"
    if train.dtype != "float32":
        backend += f", {train.dtype}"
    if train.recompute:
        backend += ", recomputing"
    if processes is not None:
        backend += f", {processes.size} processes"
    return f"{family}, {n_parameters:.2f} M parameters, {record['corpus']}, {backend}"


def _prepare_data(
    data: DataConfig,
    preset_vocab_size: int,
    tokenizer: Tokenizer | None,
    folder: RunFolder,
    report: Report,
) -> tuple[Tokenizer | None, str]:
    """Put token files into the run folder; return the tokenizer, if any, and a description."""
    targets = _token_files(folder)
    if data.train_data and data.val_data:
        for given, target in zip((data.train_data, data.val_data), targets, strict=True):
            open_tokens(given)  # refuses what is not a token file
            shutil.copyfile(given, target)
        if tokenizer is None and data.tokenizer not in TOKENIZER_KINDS:
            tokenizer = load_tokenizer(data.tokenizer)
        return tokenizer, f"token files {data.train_data}, {data.val_data}"
    corpus = load_corpus(
        data.corpus,
        max_bytes=data.max_bytes,
        val_fraction=data.val_fraction,
        progress=lambda done, total: report("downloading", done, total),
    )
    train = corpus.train if data.train_bytes is None else corpus.train.first(data.train_bytes)
    if tokenizer is None:
        tokenizer = _make_tokenizer(data, train, preset_vocab_size, report)
    for name, text, target in zip(
        ("encoding training text", "encoding validation text"),
        (train, corpus.validation),
        targets,
        strict=True,
    ):

        def progress(done: int, name: str = name, text: Text = text) -> None:
            report(name, done, text.size_bytes)

        write_tokens(target, text, tokenizer, progress=progress)
        report(name, text.size_bytes, text.size_bytes)
    part = "" if data.train_bytes is None else f", the first {data.train_bytes:,} to train on"
    return tokenizer, corpus.description + part


def _make_tokenizer(data: DataConfig, text: Text, preset_size: int, report: Report) -> Tokenizer:
    """Load the tokenizer that ``data`` names, or train one of that kind on the text."""
    if data.tokenizer not in TOKENIZER_KINDS:
        return load_tokenizer(data.tokenizer)
    limited = _first_bytes(text, TOKENIZER_BYTES)
    # One continuous text has no borders to mark, and a token that never occurs stays untrained.
    has_documents = any(block.ends_document for block in text.blocks())
    special_tokens = (END_OF_TEXT,) if has_documents else ()
    match data.tokenizer:
        case "char":
            return CharTokenizer.train(text, special_tokens=special_tokens)
        case "word":
            special_tokens = (*special_tokens, UNKNOWN)
            return WordTokenizer.train(limited, data.vocab_size, special_tokens=special_tokens)
        case _:
            return BPETokenizer.train(
                limited,
                data.vocab_size or preset_size,
                special_tokens=special_tokens,
                progress=lambda stage, done, total: report(stage, done, total or None),
            )


def _first_bytes(text: Text, limit: int) -> Iterator[str]:
    """Yield pieces of text until there are ``limit`` bytes, more or less."""
    n_bytes = 0
    for piece in text:
        yield piece
        n_bytes += len(piece.encode())
        if n_bytes >= limit:
            return


def _open_batches(
    folder: RunFolder, config: ModelConfig, train: TrainConfig, tokenizer: Tokenizer | None
) -> WindowBatches:
    train_tokens, validation_tokens = (open_tokens(path) for path in _token_files(folder))
    for tokens in (train_tokens, validation_tokens):
        check_ids(tokens, config.vocab_size)
    return WindowBatches(
        train_tokens,
        validation_tokens,
        config.context_length,
        train,
        tokenizer.end_of_text if tokenizer else None,
    )


def _token_files(folder: RunFolder) -> tuple[Path, Path]:
    return folder.data_folder / "train.npy", folder.data_folder / "validation.npy"
