"""Pre-training as a kind of run: from a corpus to a tokenizer, token files, windows of them."""

from __future__ import annotations

import dataclasses
import itertools
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from llm_explainer.checkpoint import load_checkpoint
from llm_explainer.config import ModelConfig
from llm_explainer.data.corpora import VALIDATION_FRACTION, Text, load_corpus
from llm_explainer.data.token_files import (
    Tokens,
    check_ids,
    describe_border,
    occurs,
    open_tokens,
    write_tokens,
)
from llm_explainer.data.tokenizer_specs import open_tokenizer
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.settings import setting
from llm_explainer.tokenizer import (
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    WordTokenizer,
)
from llm_explainer.training.batches import WindowBatches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.demonstration import Continuation
from llm_explainer.training.runs.data_files import DATA_FILES
from llm_explainer.training.runs.folder import Meaning, RunFolder
from llm_explainer.training.runs.kinds import Material, Prepared, Report

TOKENIZER_KINDS = ("bpe", "char", "word")
TOKENIZER_BYTES = 20_000_000
"""Text that a tokenizer learns from: more would hardly change its merges."""


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """What to train on: a corpus and a tokenizer for it, or token files made elsewhere."""

    corpus: str = setting(
        "auto",
        "stories, shakespeare, verdict, tinystories, auto, a text file or folder, or - for a pipe",
    )
    max_bytes: int | None = setting(None, "take this much of the corpus; without it, all")
    train_bytes: int | None = setting(
        None, "train on the first bytes only; unlike with max_bytes, validation text stays whole"
    )
    val_fraction: float = setting(
        VALIDATION_FRACTION, "share of the corpus that is kept for validation"
    )
    tokenizer: str = setting(
        "bpe", "bpe, char or word to learn one; or whatever `tokenize --tokenizer` takes"
    )
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

    kind: ClassVar[str] = "pretrain"
    means: ClassVar[Meaning] = "newest"
    data_files: ClassVar[tuple[str, ...]] = DATA_FILES

    data: DataConfig
    train: TrainConfig
    size: str = "small"
    family: str = "gpt2"
    model: dict[str, Any] = dataclasses.field(default_factory=dict)  # changes to the preset
    backend: str = "auto"
    start_from: str | None = None  # a checkpoint whose weights and tokenizer to start with

    def own_record(self) -> dict[str, Any]:
        """Return what ``run.json`` is to hold of these settings beside model and training."""
        return {"data": dataclasses.asdict(self.data), "start_from": self.start_from}

    def load(self) -> Callable[[RunFolder, Report], Prepared]:
        """Check the shape of the model, and load the checkpoint that the run starts from.

        What is returned puts token files into a folder.

        Raises:
            LLMExplainerError: a model that cannot be, a checkpoint that cannot be read.
        """
        preset = ModelConfig.preset(self.size, family=self.family, **self.model)
        model, known = None, None
        if self.start_from is not None:
            model, known = load_checkpoint(self.start_from, self.backend)
            model.unfreeze()  # pre-training trains all of it

        def prepare(folder: RunFolder, report: Report) -> Prepared:
            tokenizer, corpus = _prepare_data(self.data, preset.vocab_size, known, folder, report)
            if model is not None:
                return Prepared(corpus, tokenizer, ModelSpec.of(model), model)
            wanted = self.data.vocab_size
            vocab_size = preset.vocab_size if wanted is None else wanted
            if tokenizer is not None:
                vocab_size = tokenizer.vocab_size
                _learn_beginning(tokenizer, open_tokens(_token_files(folder)[0]))
            if wanted not in (None, vocab_size):  # only some are learned, and not from any text
                corpus += f"; the tokenizer has {vocab_size:,} tokens, not {wanted:,}"
            config = dataclasses.replace(preset, vocab_size=vocab_size)
            return Prepared(corpus, tokenizer, ModelSpec(config))

        return prepare

    @staticmethod
    def open(
        folder: RunFolder,
        config: ModelConfig,
        train: TrainConfig,
        tokenizer: Tokenizer | None,
        own: dict[str, Any],
    ) -> Material:
        """Return windows of the folder's token files, and a text to continue.

        Raises:
            LLMExplainerError: token files that are missing, damaged, too short or not this model's.
        """
        train_tokens, validation_tokens = (open_tokens(path) for path in _token_files(folder))
        for tokens in (train_tokens, validation_tokens):
            check_ids(tokens, config.vocab_size)
        batches = WindowBatches(
            train_tokens,
            validation_tokens,
            config.context_length,
            train,
            tokenizer.end_of_text if tokenizer else None,
        )
        return Material(batches, Continuation(tokenizer, batches, train) if tokenizer else None)


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
            tokenizer = open_tokenizer(data.tokenizer).tokenizer
        return tokenizer, f"token files {data.train_data}, {data.val_data}"
    corpus = load_corpus(
        data.corpus,
        max_bytes=data.max_bytes,
        val_fraction=data.val_fraction,
        progress=lambda done, total: report("downloading", done, total),
    )
    train = corpus.train if data.train_bytes is None else corpus.train.first(data.train_bytes)
    if tokenizer is None:
        tokenizer = _make_tokenizer(data, train, corpus.validation, preset_vocab_size, report)
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
    border = describe_border(tokenizer)
    borders = f"; documents are {border}" if border and train.has_borders() else ""
    return tokenizer, corpus.description + part + borders


def _make_tokenizer(
    data: DataConfig, text: Text, validation: Text, preset_size: int, report: Report
) -> Tokenizer:
    """Load the tokenizer that ``data`` names, or train one of that kind on the text."""
    if data.tokenizer not in TOKENIZER_KINDS:
        return open_tokenizer(data.tokenizer).tokenizer
    limited = _first_bytes(text, TOKENIZER_BYTES)
    match data.tokenizer:
        case "char":
            # Those of the validation text too: a character that it lacked could not be read there.
            return CharTokenizer.train(itertools.chain(text, validation))
        case "word":
            return WordTokenizer.train(limited, data.vocab_size)
        case _:
            return BPETokenizer.train(
                limited,
                data.vocab_size or preset_size,
                progress=lambda stage, done, total: report(stage, done, total or None),
            )


def _learn_beginning(tokenizer: Tokenizer, tokens: Tokens) -> None:
    """Let a new model's texts begin as documents do in what it learns from.

    One continuous text has no borders, and from a token that never occurs a model cannot start.
    """
    end = tokenizer.end_of_text
    begins = end is not None and occurs(tokens, end)
    tokenizer.roles = dataclasses.replace(tokenizer.roles, begin=end if begins else None)


def _first_bytes(text: Text, limit: int) -> Iterator[str]:
    """Yield pieces of text until there are ``limit`` bytes, more or less."""
    n_bytes = 0
    for piece in text:
        yield piece
        n_bytes += len(piece.encode())
        if n_bytes >= limit:
            return


def validation_file(folder: RunFolder) -> Path:
    """Return the token file of a pre-training run's validation text."""
    return _token_files(folder)[1]


def _token_files(folder: RunFolder) -> tuple[Path, Path]:
    train, validation = (folder.data_folder / name for name in DATA_FILES)
    return train, validation
