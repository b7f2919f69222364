"""What a model is built from: all that it takes to build it again, but for its numbers.

A resumed run, the other processes of a distributed one, a forecast and a loaded checkpoint all
build their model here, so that what is frozen comes back frozen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Self

from llm_explainer.adapters import apply_lora
from llm_explainer.config import InitScheme, ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.tree import flatten


@dataclass(frozen=True)
class ModelSpec:
    """A model's architecture, and which of its parameters learn."""

    config: ModelConfig
    frozen: tuple[str, ...] = ()  # dotted names of the parameters that do not learn, sorted
    n_frozen: int = 0  # numbers in them
    lora: LoRAConfig | None = None  # its adapters

    @classmethod
    def of(cls, model: Any) -> Self:
        """Return what ``model``, of either backend, is built from."""
        learning = flatten(model.trainable())
        frozen = tuple(sorted(flatten(model.parameters()).keys() - learning.keys()))
        whole = cls(model.config, frozen, 0, model.lora)
        n_learning = sum(int(array.size) for array in learning.values())
        return replace(whole, n_frozen=whole.count_parameters() - n_learning)

    def build(self, nn: ModuleType, seed: int = 0, init_scheme: InitScheme = "zeros") -> Any:
        """Return a new model of the backend ``nn``; of zeros, unless another scheme draws weights.

        Raises:
            ConfigError: the architecture has no parameter of a name that is to be frozen.
        """
        model = nn.GPT(self.config, seed, init_scheme)
        if self.lora is not None:
            model = apply_lora(model, self.lora, seed).unfreeze()
        freeze(model, self.frozen)
        return model

    def count_parameters(self) -> int:
        """Return the number of all numbers in the parameters."""
        n_added = 0 if self.lora is None else self.lora.count_parameters(self.config)
        return self.config.count_parameters() + n_added

    def count_trainable(self) -> int:
        """Return the number of those that learn."""
        return self.count_parameters() - self.n_frozen

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        values = {
            "config": self.config.to_dict(),
            "frozen": list(self.frozen),
            "n_frozen": self.n_frozen,
        }
        return values if self.lora is None else {**values, "lora": self.lora.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return what ``to_dict`` was called on; the fields of a config alone freeze nothing.

        Raises:
            ConfigError: a value that cannot work.
            KeyError, TypeError: something is missing, or something else.
        """
        if "config" not in values:  # as runs were recorded before anything could be frozen
            return cls(ModelConfig(**values))
        config = ModelConfig(**values["config"])
        lora = LoRAConfig.from_dict(values["lora"]) if "lora" in values else None
        return cls(config, tuple(values["frozen"]), int(values["n_frozen"]), lora)


def check_trainable(model: Any, names: Collection[str]) -> None:
    """Refuse a model of which other parameters learn than those of these dotted names.

    Raises:
        ConfigError: says which, and what would do.
    """
    differing = flatten(model.trainable()).keys() ^ set(names)
    if differing:
        raise ConfigError(
            f"{min(differing)!r} was frozen or unfrozen after the optimizer was made; make a new "
            "optimizer, and a new training step with it"
        )


def freeze(model: Any, names: Iterable[str]) -> None:
    """Freeze the parameters of these dotted names, such as ``blocks.0.attention.qkv_proj.weight``.

    Raises:
        ConfigError: the model has no parameter of that name.
    """
    known = flatten(model.parameters())
    for name in names:
        if name not in known:
            raise ConfigError(f"no parameter {name!r} to freeze; there is {next(iter(known))!r}")
        *path, leaf = name.split(".")
        layer = model
        for step in path:
            layer = layer[int(step)] if isinstance(layer, list) else getattr(layer, step)
        layer.freeze(keys=[leaf], recurse=False)
