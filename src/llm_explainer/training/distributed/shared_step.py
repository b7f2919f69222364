"""A training step that several processes share: each takes some rows of every batch.

The batches, and so the numbers, are those of one process: every token weighs the same, whoever
trains on it. Process 0 runs a ``Trainer`` whose step is a ``SharedStep``; the others ``work`` for
it. Each keeps a model and an optimizer of its own, which stay equal because all start with the same
weights and take the same averaged gradients. So a step sends the batch, and the gradients, but no
weights.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from llm_explainer.batch import Batch
from llm_explainer.errors import ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.distributed.processes import Array, Processes, Words
from llm_explainer.tree import flatten, unflatten

MakeStep = Callable[[ModelSpec, TrainConfig], Any]
"""Makes a model, an optimizer and a backend's training step for them; any weights will do."""


class SharedStep:
    """The training step of process 0: called like a backend's own, it lets the others take part.

    Args:
        processes: all of them
        step: this process's own step, a backend's ``TrainStep`` made for the group
        config: what the others make theirs of

    Raises:
        ConfigError: a step has fewer rows than there are processes.
    """

    def __init__(self, processes: Processes, step: Any, config: TrainConfig) -> None:
        if config.batch_size * config.accumulate < processes.size:
            raise ConfigError(
                f"batch_size is {config.batch_size}, fewer windows than the {processes.size} "
                f"processes that share them; it takes {processes.size} or more"
            )
        self._processes, self._step, self._config = processes, step, config
        self._others_are_set_up = False

    def __call__(
        self, batches: Sequence[Batch], learning_rate: float, dropout_seed: Sequence[int] = ()
    ) -> Any:
        """Update every process's model once with the mean loss over all tokens.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        self._set_up_others()
        words = {
            "do": "step",
            "learning_rate": learning_rate,
            "dropout_seed": list(dropout_seed),
            "fields": _fields(batches),
        }
        self._processes.tell(words, _as_arrays(batches))
        return _take_step(self._processes, self._step, words, batches)

    def evaluate(self, batch: Batch) -> tuple[float, float]:
        """Return the loss summed over the targets that count, in nats, and their number.

        Raises:
            ProcessLost: one of the processes is gone.
        """
        self._set_up_others()
        self._processes.tell({"do": "evaluate", "fields": _fields([batch])}, _as_arrays([batch]))
        return _evaluate(self._processes, self._step, batch)

    def _set_up_others(self) -> None:
        """Give the others this model and optimizer; later than at construction, to resume too."""
        if self._others_are_set_up:
            return
        model, optimizer = self._step.model, self._step.optimizer
        words = {
            "do": "set up",
            "model": ModelSpec.of(model).to_dict(),
            "train": self._config.to_dict(),
            "optimizer_steps": optimizer.steps,
        }
        weights = flatten(model.parameters()).values()
        self._processes.tell(words, [np.asarray(array) for array in weights])
        self._processes.tell({}, list(optimizer.state().values()))
        self._others_are_set_up = True


def work(processes: Processes, make_step: MakeStep) -> int:
    """Take part in what process 0 does until it ends; return the exit code that it names.

    Raises:
        ProcessLost: one of the processes is gone.
    """
    step: Any = None
    while True:
        words, arrays = processes.hear()
        match words["do"]:
            case "set up":
                step = _set_up(words, arrays, processes.hear()[1], make_step)
            case "step":
                _take_step(processes, step, words, _as_batches(words, arrays))
            case "evaluate":
                _evaluate(processes, step, _as_batches(words, arrays)[0])
            case _:
                return int(words["exit_code"])


def end_work(processes: Processes, exit_code: int) -> None:
    """Let the others leave ``work``.

    Raises:
        ProcessLost: one of the processes is gone.
    """
    processes.tell({"do": "end", "exit_code": exit_code})


def share(batches: Sequence[Batch], rank: int, size: int) -> list[Batch]:
    """Return the rows of batches that are a process's, in batches no larger than those given.

    The rows of all batches stand in one line, which is cut into as many stretches as there are
    processes; their lengths differ by one at most.

    >>> rows = np.arange(6)[:, None]
    >>> [own[0][:, 0].tolist() for own in share([Batch(rows[:4], rows[:4])], 1, 2)]
    [[2, 3]]
    """
    n_rows = sum(len(batch.tokens) for batch in batches)
    first, last = n_rows * rank // size, n_rows * (rank + 1) // size
    own: list[Batch] = []
    for batch in batches:
        part = batch.rows(slice(max(first, 0), max(last, 0)))
        if len(part.tokens):
            own.append(part)
        first, last = first - len(batch.tokens), last - len(batch.tokens)
    return own


def _set_up(words: Words, weights: list[Array], state: list[Array], make_step: MakeStep) -> Any:
    """Return a training step that stands where process 0's stands."""
    step = make_step(ModelSpec.from_dict(words["model"]), TrainConfig(**words["train"]))
    parameters = step.model.parameters()
    named = dict(zip(flatten(parameters), weights, strict=True))
    step.model.update(unflatten(named, like=parameters))
    names = step.optimizer.state()
    step.optimizer.load_state(words["optimizer_steps"], dict(zip(names, state, strict=True)))
    return step


def _take_step(processes: Processes, step: Any, words: Words, batches: Sequence[Batch]) -> Any:
    """Train on this process's rows of whole batches, and average over all processes."""
    rank, size = processes.rank, processes.size
    seed = words["dropout_seed"]
    with processes.together():
        return step(
            share(batches, rank, size),
            words["learning_rate"],
            (*seed, rank) if seed else (),  # or rows of different processes would drop the same
            n_counted=sum(batch.n_counted for batch in batches),
        )


def _evaluate(processes: Processes, step: Any, batch: Batch) -> tuple[float, float]:
    """Measure this process's rows of a whole batch, and add up over all processes."""
    own = share([batch], processes.rank, processes.size)
    with processes.together():
        measured = [step.evaluate(part) for part in own] or [(0.0, 0.0)]  # maybe too few rows
    parts = processes.gather(measured[0])
    return sum(part[0] for part in parts), sum(part[1] for part in parts)


def _fields(batches: Sequence[Batch]) -> list[list[str]]:
    """Return which fields each batch has: those that are not None."""
    return [
        [name for name, array in batch._asdict().items() if array is not None] for batch in batches
    ]


def _as_arrays(batches: Sequence[Batch]) -> list[Array]:
    """Return what a message holds of batches, one after another: ids as short as MLX takes them."""
    return [
        np.asarray(getattr(batch, name), bool if name == "mask" else np.int32)
        for batch, names in zip(batches, _fields(batches), strict=True)
        for name in names
    ]


def _as_batches(words: Words, arrays: Sequence[Array]) -> list[Batch]:
    """Return the batches that ``_as_arrays`` was given."""
    rest = iter(arrays)
    return [Batch(**{name: next(rest) for name in names}) for names in words["fields"]]
