"""A run: a trainer in its folder. Start a new one, resume one, train.

What kinds of runs there are, and what each has of its own, is in ``kinds.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from llm_explainer.backend import load_backend
from llm_explainer.checkpoint import load_model, load_tokenizer_of
from llm_explainer.checkpoint.way_back import way_back
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.distributed.processes import Processes
from llm_explainer.training.events import Observer
from llm_explainer.training.preflight import Preflight, preflight, shortened
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.kinds import (
    Material,
    Prepared,
    Report,
    RunSettings,
    settings_of_kind,
)
from llm_explainer.training.runs.log import RunLog, read_log
from llm_explainer.training.runs.loss_curve import draw_loss_curve
from llm_explainer.training.runs.record import RunRecord
from llm_explainer.training.trainer import Trainer, TrainResult


@dataclass(frozen=True)
class Run:
    """A trainer in its folder, one line that says what it trains, and what that will take."""

    trainer: Trainer
    folder: RunFolder
    description: str
    preflight: Preflight
    nn: ModuleType  # the backend

    def train(self, observers: Sequence[Observer] = ()) -> TrainResult:
        """Train to the end or to ``request_stop``; write the log and the picture of the loss.

        Raises:
            LLMExplainerError: as ``Trainer.train``; another process is at work on this run.
        """
        self.folder.hold()
        step = self.trainer.step
        saved = self.folder.checkpoint(step) if step in self.folder.steps() else None
        log = RunLog(self.folder.log_file, first_step=step, saved=saved)
        self.trainer.observers = [log, *observers]
        try:
            return self.trainer.train()
        finally:
            log.close()
            events = read_log(self.folder.log_file)
            draw_loss_curve(events, self.folder.curve_file, self.folder.path.name)
            self.folder.let_go()


def start_run(
    settings: RunSettings,
    folder: RunFolder,
    *,
    overwrite: bool = False,
    report: Report = lambda stage, done, total: None,
    processes: Processes | None = None,
) -> Run:
    """Prepare a new run in ``folder``, which is held for it until it has trained.

    Raises:
        LLMExplainerError: settings, data or a folder that cannot work; another process is at work
            there. A folder that holds another run is left as it is unless ``overwrite``.
    """
    try:
        nn = load_backend(settings.backend)
        nn.check_dtype(settings.train.dtype)
        prepare = settings.load()
        folder.make()
        folder.hold()
        folder.create(settings.data_files, overwrite=overwrite)
        return _prepare(nn, settings, folder, prepare(folder, report), processes)
    except BaseException:  # Ctrl-C too
        folder.give_back()
        raise


def _prepare(
    nn: ModuleType,
    settings: RunSettings,
    folder: RunFolder,
    prepared: Prepared,
    processes: Processes | None,
) -> Run:
    """Make a trainer for the data that is in the folder, and the record that makes this a run."""
    workers = settings.train.workers or nn.available_cores()
    train = dataclasses.replace(settings.train, workers=workers)
    n_processes = 1 if processes is None else processes.size
    # Before the model is made: for a moment, the one that is measured takes the memory of it.
    as_long = shortened(prepared.spec, prepared.longest)
    forecast = preflight(nn, as_long, train, n_processes=n_processes)
    train = dataclasses.replace(train, micro_batch=forecast.micro_batch)
    model = prepared.model
    if model is None:
        model = prepared.spec.build(nn, train.seed, train.init_scheme)
    record = RunRecord(
        kind=settings.kind,
        backend=nn.NAME,
        corpus=prepared.corpus,
        own=settings.own_record(),
        model=prepared.spec,
        train=train,
    )
    material = settings.open(folder, model.config, train, prepared.tokenizer, record.own)
    trainer = _trainer(nn, model, prepared.tokenizer, material, train, folder, processes)
    folder.write_record(record.to_dict(), settings.means)
    forecast = dataclasses.replace(forecast, more=material.more)
    return Run(trainer, folder, record.describe(n_processes), forecast, nn)


def _trainer(
    nn: ModuleType,
    model: Any,
    tokenizer: Tokenizer | None,
    material: Material,
    train: TrainConfig,
    folder: RunFolder,
    processes: Processes | None,
) -> Trainer:
    return Trainer(
        nn,
        model,
        tokenizer,
        material.batches,
        train,
        folder,
        processes=processes,
        demonstration=material.demonstration,
        save=material.save,
    )


def resume_run(
    folder: RunFolder,
    *,
    backend: str | None = None,
    steps: int | None = None,
    processes: Processes | None = None,
) -> Run:
    """Continue the run in ``folder`` exactly where its newest checkpoint stands.

    ``backend`` names another than the run began with; sums are then rounded otherwise, as they are
    with another number of ``processes``. ``steps`` is another number of steps for the whole run,
    by which the learning rate goes from here on.

    Raises:
        LLMExplainerError: no run, or one that is damaged; another process is at work on it; a
            backend that this machine lacks; fewer steps than it has done.
    """
    if not folder.path.is_dir():
        folder.read_record()  # which says so
    folder.hold()
    try:
        folder.recover()
        return _resume(folder, backend, steps, processes)
    except BaseException:
        folder.let_go()
        raise


def _resume(
    folder: RunFolder, backend: str | None, steps: int | None, processes: Processes | None
) -> Run:
    values = folder.read_record()
    newest = folder.newest()
    settings = settings_of_kind(values.get("kind"), folder.record_file)
    record = RunRecord.from_dict(values, folder.record_file)
    if backend is not None:
        record = dataclasses.replace(record, backend=backend)
    # Runs that were recorded without one had batches in one piece.
    micro_batch = record.train.micro_batch or record.train.batch_size
    train = dataclasses.replace(record.train, micro_batch=micro_batch)
    if steps is not None:
        train = dataclasses.replace(train, steps=steps)
    nn = load_backend(record.backend)
    try:
        model = load_model(newest, record.backend)
        tokenizer = load_tokenizer_of(newest, model.config)  # mere ids came without one
        material = settings.open(folder, model.config, train, tokenizer, record.own)
        folder.check_data()
        trainer = _trainer(nn, model, tokenizer, material, train, folder, processes)
        trainer.resume()
    except CheckpointError as error:
        hint = way_back(newest)
        raise CheckpointError(str(error).removesuffix(hint) + hint) from error
    n_processes = 1 if processes is None else processes.size
    as_long = shortened(record.model, material.longest)
    forecast = preflight(nn, as_long, train, first_step=trainer.step, n_processes=n_processes)
    forecast = dataclasses.replace(forecast, more=material.more)
    if steps is not None:
        _change_steps(folder, values, steps, trainer.step)
    return Run(trainer, folder, record.describe(n_processes), forecast, nn)


def _change_steps(folder: RunFolder, values: dict[str, Any], steps: int, done: int) -> None:
    if steps < done:
        raise ConfigError(f"steps is {steps}, but the run has done {done}; it takes that or more")
    folder.change_record({**values, "train": {**values["train"], "steps": steps}})
