"""The runs that a sweep consists of: the settings that each combination of options means."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from llm_explainer.backend import load_backend
from llm_explainer.commands import finetune, pretrain
from llm_explainer.commands.sweep_options import Script, Value
from llm_explainer.config import ModelConfig
from llm_explainer.data.corpora import load_corpus
from llm_explainer.data.pipes import STDIN
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.training.finetune import finetune_settings, open_start
from llm_explainer.training.finetune_data import STORIES, RecordsConfig
from llm_explainer.training.pretrain import DataConfig
from llm_explainer.training.runs.kinds import Report, RunSettings
from llm_explainer.training.sweeps.grid import Combination

SettingsOf = Callable[[dict[str, Any]], RunSettings]
"""Makes settings of the values of a script's options."""

SCRIPTS = {
    "pretrain": Script("pretrain", pretrain.pretrain),
    "finetune-full": Script("finetune-full", finetune.finetune_full),
    "finetune-lora": Script(
        "finetune-lora",
        finetune.finetune_lora,
        lists=("targets", "rank_pattern", "alpha_pattern"),
    ),
}


@dataclass(frozen=True)
class Planned:
    """A run of the sweep."""

    combination: Combination
    seed: int
    settings: RunSettings

    @property
    def name(self) -> str:
        """Its folder's name."""
        return self.combination.run_name(self.seed)


def with_base(script: str, choices: dict[str, list[Value]], console: Console) -> dict[str, Any]:
    """Return the choices and, where fine-tuning names no base, the one that it would find now.

    So it is part of what the sweep is over: one that goes on another day goes on with it.

    Raises:
        LLMExplainerError: there is none, or own records without a base.
    """
    if script == "pretrain" or "from" in choices:
        return choices
    if any(value.text != STORIES for value in choices.get("data", [])):
        raise ConfigError("a sweep on your own records needs --from, the model to start from")
    base = finetune.find_base(RecordsConfig(), console)
    return {**choices, "from": [Value((f"--from={base}",), str(base))]}


def plan_runs(
    script: str,
    choices: dict[str, list[Value]],
    combinations: Sequence[Combination],
    seeds: Sequence[int],
    tokens: int | None,
    report: Report,
) -> list[Planned]:
    """Return every run with its settings: what cannot work is found before anything is trained.

    Args:
        script: a name in ``SCRIPTS``
        choices: the values of each option that was given
        combinations: of those that have several
        seeds: each combination's
        tokens: that each run is to train on; None for as many as its steps take
        report: of what is read

    Raises:
        LLMExplainerError, TyperException: a combination that cannot work.
    """
    if tokens is not None and (script != "pretrain" or "steps" in choices or tokens < 1):
        raise ConfigError(
            f"tokens is {tokens}; it takes 1 or more, with --script pretrain and without --steps"
        )
    settings_of = _pretraining(tokens, report) if script == "pretrain" else _finetuning(report)
    runs = []
    for combination in combinations:
        chosen = dict(combination.values)
        for seed in seeds:
            words = [f"--seed={seed}"]
            for name, values in choices.items():
                words += next(v.words for v in values if v.text == chosen.get(name, v.text))
            settings = settings_of(SCRIPTS[script].read(words))
            load_backend(settings.backend).check_dtype(settings.train.dtype)
            runs.append(Planned(combination, seed, settings))
    return runs


def _pretraining(tokens: int | None, report: Report) -> SettingsOf:
    looked_at: set[str] = set()

    def settings_of(values: dict[str, Any]) -> RunSettings:
        settings = pretrain.settings_of(values)
        model = ModelConfig.preset(settings.size, family=settings.family, **settings.model)
        data = settings.data
        if str(data) not in looked_at and data.train_data is None:
            looked_at.add(str(data))
            _look_at_corpus(data, report)
        if tokens is None:
            return settings
        train = settings.train
        n_together = train.batch_size * train.accumulate * model.context_length
        if tokens < n_together:
            raise ConfigError(f"tokens is {tokens}, and one step takes {n_together}; give more")
        return pretrain.settings_of({**values, "steps": tokens // n_together})

    return settings_of


def _look_at_corpus(data: DataConfig, report: Report) -> None:
    """Find a corpus that cannot be read, and download one that is not here yet."""
    if data.corpus == STDIN:
        raise ConfigError(
            "a sweep reads its corpus once for every run, and a pipe ends; name a file"
        )
    load_corpus(
        data.corpus,
        max_bytes=data.max_bytes,
        val_fraction=data.val_fraction,
        progress=lambda done, total: report("downloading", done, total),
    )


def _finetuning(report: Report) -> SettingsOf:
    known: dict[Any, Any] = {}  # records are read once for all runs that share them

    def settings_of(values: dict[str, Any]) -> RunSettings:
        data = RecordsConfig(**finetune.DATA.take(values))
        key = str(values["base"]), str(dataclasses.asdict(data))
        if key not in known:
            known[key] = open_start(values["base"], data, report)
        has_adapters = "rank" in values
        lora = LoRAConfig(**finetune.ADAPTERS.take(values)) if has_adapters else None
        return finetune_settings(
            known[key],
            lora,
            epochs=values["epochs"],
            backend=values["backend"],
            **finetune.TRAINING.take(values),
        )

    return settings_of
