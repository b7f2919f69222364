"""The trainer: batches in, updates, evaluations, samples and checkpoints out.

It knows a backend only through its interface: ``nn.TrainStep``, ``nn.AdamW``, ``nn.SGD`` and the
model's own methods. Everything that a step computes follows from the settings, the data and the
step's number, so a run that was killed and resumed ends with the same bytes as one that was not.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from llm_explainer.batch import Batch
from llm_explainer.checkpoint import load_trainer_state, save_checkpoint
from llm_explainer.errors import CheckpointError, Diverged, GenerationError, WorkerLost
from llm_explainer.spelling import command_line
from llm_explainer.tokenizer.base import Tokenizer
from llm_explainer.training.batches import Batches
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.demonstration import Demonstration
from llm_explainer.training.diagnosis import first_non_finite
from llm_explainer.training.distributed.processes import Processes
from llm_explainer.training.distributed.shared_step import SharedStep
from llm_explainer.training.evaluation import Evaluation, evaluate, token_byte_lengths
from llm_explainer.training.events import Evaluated, Event, Observer, Saved, Saving, StepDone
from llm_explainer.training.milestones import milestone_steps
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.schedule import is_due, learning_rate
from llm_explainer.training.train_step import make_train_step

Save = Callable[..., Path]
"""Writes a checkpoint; arguments and result as of ``save_checkpoint``."""


@dataclass(frozen=True)
class TrainResult:
    """How training ended."""

    step: int
    finished: bool  # False where ``request_stop`` ended it early
    checkpoint: Path
    evaluation: Evaluation | None  # on all of the validation text; None where stopped early
    best_step: int | None


class Trainer:
    """Trains a model in a run folder.

    Args:
        nn: the backend's module, as ``load_backend`` returns it
        model: a ``GPT`` of that backend
        tokenizer: saved with every checkpoint; None for token files without one, which leaves out
            bits per byte
        batches: what to train and to validate on
        config: what to do
        folder: where to keep checkpoints; it must exist
        observers: called with every event, in order
        processes: those that train on every batch together; None for this one alone
        demonstration: what the model is to show now and then; None for nothing
        save: writes a checkpoint

    Raises:
        ConfigError: a step has fewer windows than there are processes.
    """

    def __init__(
        self,
        nn: ModuleType,
        model: Any,
        tokenizer: Tokenizer | None,
        batches: Batches,
        config: TrainConfig,
        folder: RunFolder,
        observers: Sequence[Observer] = (),
        processes: Processes | None = None,
        demonstration: Demonstration | None = None,
        save: Save = save_checkpoint,
    ) -> None:
        self.model, self.tokenizer, self.config, self.folder = model, tokenizer, config, folder
        self.batches, self.observers = batches, observers
        self.step = 0  # updates done
        self.best_step: int | None = None
        self.best_loss = self.last_loss = float("inf")  # on the same sample of windows
        group = None if processes is None else processes.group
        self._train_step = make_train_step(nn, model, config, group)
        self._optimizer = self._train_step.optimizer
        if processes is not None:
            self._train_step = SharedStep(processes, self._train_step, config)
        self._token_bytes = (
            token_byte_lengths(tokenizer, model.config.vocab_size) if tokenizer else None
        )
        self._demonstration, self._write = demonstration, save
        self._peak_memory = nn.peak_memory
        self._stop_requested = False
        self._saved: tuple[int, int | None] = -1, None  # of the newest checkpoint: step and best

    def resume(self) -> None:
        """Continue from the folder's newest checkpoint, whose weights ``model`` already has.

        Raises:
            CheckpointError: there is none, or it is damaged or not this model's.
        """
        self.folder.clean()
        newest = self.folder.newest()
        state, arrays = load_trainer_state(newest, self.model)
        try:
            self.step = int(state["step"])
            self.best_step = state["best_step"]
            self.best_loss = float("inf") if self.best_step is None else float(state["best_loss"])
            self._optimizer.load_state(int(state["optimizer_steps"]), arrays)
            self._saved = self.step, self.best_step
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{newest} cannot be resumed: {error}") from error
        self.folder.link(self.best_step)

    def request_stop(self) -> None:
        """End training after the step in progress, with a checkpoint; safe in a signal handler."""
        self._stop_requested = True

    def train(self) -> TrainResult:
        """Train from the current step to the last one.

        Raises:
            WorkerLost: a process was stopped from outside. The last whole step has a checkpoint,
                unless it went while parameters were updated.
            Diverged: the loss, or what the model shows, is no longer finite. The newest checkpoint
                is from before.
            CheckpointError: a checkpoint cannot be written.
        """
        if not self.folder.steps():
            self._keep_milestone()
            self._save()  # from here on there always is something to resume from
        try:
            evaluation = self._train()
        except WorkerLost as lost:
            if lost.weights_are_whole:
                self._save_if_new()
            raise
        self._save_if_new()
        finished = evaluation is not None
        return TrainResult(
            self.step, finished, self.folder.checkpoint(self.step), evaluation, self.best_step
        )

    def _train(self) -> Evaluation | None:
        """Do the steps that are left; return the last evaluation, or None if stopped before it."""
        config = self.config
        while self.step < config.steps and not (self._stop_requested or self._is_past_its_best()):
            self._update()
            self._keep_milestone()  # before a checkpoint behind which it would not come again
            if self.step == config.steps:
                break
            is_best = is_due(self.step, config.eval_every) and self._evaluate()
            if is_due(self.step, config.sample_every):
                self._demonstrate()
            if is_best or is_due(self.step, config.checkpoint_every):
                self._save()  # the last thing of its step: one resumed from it misses nothing
        try:
            return self._finish()
        except _Stopped:
            return None

    def evaluate(self, max_windows: int | None = None) -> Evaluation:
        """Measure the model on the validation text, or on ``max_windows`` fixed windows of it."""
        batches = self.batches.validation(max_windows)
        return evaluate(self._train_step.evaluate, batches, self._token_bytes)

    def _until_stopped(self, batch: Batch) -> tuple[float, float]:
        """Measure a batch of the last evaluation, which may be long, unless it is to end now."""
        if self._stop_requested:
            raise _Stopped
        return self._train_step.evaluate(batch)  # type: ignore[no-any-return]

    def _is_past_its_best(self) -> bool:
        """Whether ``patience`` evaluations in a row were no better than the best."""
        if not self.config.patience or self.best_step is None:
            return False
        return self.step - self.best_step >= self.config.patience * self.config.eval_every

    def _update(self) -> None:
        config, started = self.config, time.perf_counter()
        first = self.step * config.accumulate
        batches = [self.batches.training(first + index) for index in range(config.accumulate)]
        rate = learning_rate(config, self.step)
        dropout_seed = (config.seed, self.step) if self.model.drops else ()
        result = self._train_step(batches, rate, dropout_seed)
        if not result.is_finite:
            what = f"the loss is {result.loss} and the gradient's norm {result.grad_norm}"
            raise self._diverged(self.step + 1, what, batches[-1])
        self.step += 1
        n_tokens = sum(batch.tokens.size for batch in batches)
        seconds = time.perf_counter() - started
        memory = self._peak_memory()
        self._tell(
            StepDone(self.step, result.loss, rate, result.grad_norm, n_tokens, seconds, memory)
        )

    def _diverged(self, step: int, what: str, batch: Batch) -> Diverged:
        """Return the error that says what is not finite, where first, and what would do."""
        found = first_non_finite(self.model, batch.tokens)
        # Adapters are no model to start from: they begin at nothing, on the same base.
        again = command_line("--from", self.folder.newest()) if self.model.lora is None else ""
        return Diverged(
            f"at step {step} {what}; first not finite: {found.where}; start again with "
            f"{again + ' and ' if again else ''}a learning rate under "
            f"{self.config.learning_rate:g} (--learning-rate)",
            step=step,
            where=found.where,
            why=found.why,
        )

    def _evaluate(self) -> bool:
        """Evaluate on the sample of windows; return whether this is the best so far."""
        evaluation = self.evaluate(self.config.eval_windows)
        self.last_loss = evaluation.loss
        best = evaluation.loss < self.best_loss or self.best_step == self.step
        if best:
            self.best_loss, self.best_step = evaluation.loss, self.step
        self._tell(Evaluated(self.step, evaluation, best=best, whole=False))
        return best

    def _finish(self) -> Evaluation:
        """Measure and show what the finished model can do.

        Raises:
            _Stopped: it is to end now.
        """
        if self._stop_requested:
            raise _Stopped
        self._evaluate()
        batches = self.batches.validation(None)
        evaluation = evaluate(self._until_stopped, batches, self._token_bytes)
        self._tell(Evaluated(self.step, evaluation, best=False, whole=True))
        self._demonstrate()
        return evaluation

    def _demonstrate(self) -> None:
        """Let the model show what it can do.

        Raises:
            Diverged: its scores are no numbers. (What it is asked is known to fit its context.)
        """
        if self._demonstration is None:
            return
        try:
            event = self._demonstration(self.model, self.step)
        except GenerationError:
            what = "the model's scores are not finite"
            raise self._diverged(self.step, what, self.batches.training(0)) from None
        self._tell(event)

    def _keep_milestone(self) -> None:
        """Write the weights of this step alone, if they are to be kept."""
        if self.step in milestone_steps(self.config):
            place = self.folder.milestone(self.step)
            self._write(place, self.model, tokenizer=self.tokenizer, overwrite=True)

    def _save_if_new(self) -> None:
        """Save, unless this step's checkpoint is there and says the same."""
        step, best_step = self._saved
        if (step, best_step) != (self.step, self.best_step):
            self._save()

    def _save(self) -> None:
        """Write a checkpoint under its step's name, then drop those no longer kept."""
        self._tell(Saving(self.step))
        state = {
            "step": self.step,
            "optimizer_steps": self._optimizer.steps,
            "best_step": self.best_step,
            "best_loss": None if self.best_step is None else self.best_loss,
        }
        path = self._write(
            self.folder.checkpoint(self.step),
            self.model,
            tokenizer=self.tokenizer,
            trainer_state=state,
            optimizer_state=self._optimizer.state(),
            overwrite=True,  # of this very step, before it was found to be the best
        )
        self._saved = self.step, self.best_step
        self.folder.link(self.best_step)
        self.folder.prune(self.config.keep_checkpoints, self.best_step)
        self._tell(Saved(self.step, path))

    def _tell(self, event: Event) -> None:
        for observer in self.observers:
            observer(event)


class _Stopped(Exception):  # noqa: N818 - says what happened
    """The end of training was asked for during the last evaluation."""
