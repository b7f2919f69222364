"""What ``run.json`` records of a run: all that is needed to resume it, or to compare it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.model_spec import ModelSpec
from llm_explainer.training.config import TrainConfig

_COMMON = ("kind", "backend", "corpus", "model", "train")


@dataclass(frozen=True)
class RunRecord:
    """The settings of a run. ``own`` is what its kind adds: plain JSON values by name."""

    kind: str
    backend: str
    corpus: str  # what it trains on, for people
    own: dict[str, Any]
    model: ModelSpec
    train: TrainConfig

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``run.json``."""
        return {
            "kind": self.kind,
            "backend": self.backend,
            "corpus": self.corpus,
            **self.own,
            "model": self.model.to_dict(),
            "train": self.train.to_dict(),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: object) -> RunRecord:
        """Return what ``to_dict`` gave, now or in an earlier version.

        Raises:
            CheckpointError: something is missing, or is not what it should be.
        """
        try:
            train = {**values["train"]}
            if "threads" in train:  # as records of earlier versions have it
                train["workers"] = train.pop("threads")
            return cls(
                kind=values["kind"],
                backend=values["backend"],
                corpus=values["corpus"],
                own={name: value for name, value in values.items() if name not in _COMMON},
                model=ModelSpec.from_dict(values["model"]),
                train=TrainConfig(**train),
            )
        except (KeyError, TypeError, ValueError, ConfigError) as error:
            raise CheckpointError(f"{source} is damaged: {error}") from error

    def describe(self, n_processes: int = 1) -> str:
        """Return the settings in one line, for people."""
        family = self.model.config.family or "custom"
        size = f"{self.model.count_parameters() / 1e6:.2f} M parameters"
        if self.model.frozen:
            size += f", {self.model.count_trainable() / 1e6:.2f} M learn"
        backend = self.backend
        if backend == "numpy":  # MLX schedules its own work
            backend += f", {self.train.workers} workers"
        if self.train.dtype != "float32":
            backend += f", {self.train.dtype}"
        if self.train.recompute:
            backend += ", recomputing"
        if n_processes > 1:
            backend += f", {n_processes} processes"
        return f"{family}, {size}, {self.corpus}, {backend}"
