"""What came of a sweep: for each combination the loss over its seeds, and the time it took."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.log import read_log
from llm_explainer.training.sweeps.folder import SweepFolder
from llm_explainer.training.sweeps.grid import Combination


@dataclass(frozen=True)
class Divergence:
    """Where a run's numbers stopped being numbers."""

    step: int
    where: str  # what was first
    why: str


@dataclass(frozen=True)
class SeedResult:
    """One run."""

    seed: int
    minutes: float  # in steps, without evaluations
    curve: list[tuple[int, float]]  # (tokens trained on, validation loss in nats a token)
    loss: float | None  # nats a token on all validation data; None where it did not finish
    right: float | None  # share of questions answered to the letter, where any were asked
    diverged: Divergence | None


@dataclass(frozen=True)
class Result:
    """One combination, over its seeds."""

    combination: Combination
    seeds: list[SeedResult]

    @property
    def losses(self) -> list[float]:
        """Of the runs that finished."""
        return [run.loss for run in self.seeds if run.loss is not None]

    @property
    def loss(self) -> float | None:
        """Their mean; None where none finished."""
        return self.mean(lambda run: run.loss)

    @property
    def divergences(self) -> list[SeedResult]:
        """The runs that diverged."""
        return [run for run in self.seeds if run.diverged is not None]

    def mean(self, of: Callable[[SeedResult], float | None]) -> float | None:
        """Return the mean over the seeds that have such a number; None where none has."""
        numbers = [number for run in self.seeds if (number := of(run)) is not None]
        return statistics.fmean(numbers) if numbers else None

    @property
    def spread(self) -> float | None:
        """The sample standard deviation of the losses; None for fewer than two."""
        return statistics.stdev(self.losses) if len(self.losses) > 1 else None


def read_results(
    folder: SweepFolder, combinations: Sequence[Combination], seeds: Sequence[int]
) -> list[Result]:
    """Return what came of each combination, as its runs' folders tell it."""
    divergences = folder.divergences()
    results = []
    for combination in combinations:
        runs = []
        for seed in seeds:
            name = combination.run_name(seed)
            fact = divergences.get(name)
            diverged = None if fact is None else Divergence(**fact)
            runs.append(_read_run(folder.run(name), seed, diverged))
        results.append(Result(combination, runs))
    return results


def _read_run(folder: RunFolder, seed: int, diverged: Divergence | None) -> SeedResult:
    events = read_log(folder.log_file)
    seconds, trained, curve = 0.0, 0, []
    last: dict[str, dict[str, Any]] = {}  # of each kind of event
    for event in events:
        if event["event"] == "step":
            trained += event["tokens"]
            seconds += event["seconds"]
        elif event["event"] == "evaluation" and not event["whole"]:
            curve.append((trained, float(event["loss"])))
        last["end" if event.get("whole") else event["event"]] = event
    end, answers = last.get("end"), last.get("answers")
    return SeedResult(
        seed=seed,
        minutes=seconds / 60,
        curve=curve,
        loss=None if end is None or diverged else float(end["loss"]),
        right=answers["n_right"] / answers["n_asked"] if answers else None,
        diverged=diverged,
    )
