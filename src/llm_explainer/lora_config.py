"""Low-rank adaptation: what is adapted, and how. Which numbers that is, only a backend knows.

Hu et al. 2021, "LoRA": a weight W (O, I) stays as it is, and s · B A is added to it, with A (r, I),
B (O, r), a small rank r and a scale s = alpha / r.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from llm_explainer.config import ModelConfig
from llm_explainer.errors import ConfigError
from llm_explainer.settings import setting

ALL_LINEAR = "all-linear"
"""All linear layers of the blocks, which is all but the head (Dettmers et al. 2023, QLoRA)."""

HEAD = "head"

Pattern = str | Mapping[str, float] | Iterable[tuple[str, float]]
"""Numbers by target: ``{"q_proj": 4}``, or as text, ``"q_proj=4,v_proj=2"``."""


@dataclass(frozen=True)
class AdaptedRows:
    """The rows of a linear layer that one target adapts."""

    target: str  # as people name it, such as "q_proj"
    layer: str  # the layer's place in a block, such as "attention.qkv_proj"; "head" in the model
    start: int  # its first row, of the layer's O
    stop: int  # the row after its last
    inputs: int  # I
    rank: int
    scale: float  # of B A

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return self.stop - self.start


@dataclass(frozen=True)
class LoRAConfig:
    """Which layers are adapted, and with how much.

    Raises:
        ConfigError: a value that cannot work in any model.
    """

    rank: int = setting(8, "rows of A and columns of B: how much an adapter can say")
    alpha: float = setting(16.0, "B A is scaled by alpha / rank")
    dropout: float = setting(0.0, "share of an adapter's inputs dropped while training")
    targets: str | Iterable[str] = setting(
        ALL_LINEAR, "what is adapted, with commas between: q_proj, v_proj, ..., or all-linear"
    )
    rslora: bool = setting(False, "scale by alpha / sqrt(rank), so that a high rank learns as fast")
    dora: bool = setting(False, "learn the length of each row of a weight apart from its direction")
    rank_pattern: Pattern = setting((), "ranks of single targets, such as q_proj=4,v_proj=16")
    alpha_pattern: Pattern = setting((), "alphas of single targets")

    def __post_init__(self) -> None:
        """Bring the fields into one form, then check what needs no model."""
        targets = self.targets
        names = targets.split(",") if isinstance(targets, str) else targets
        names = tuple(dict.fromkeys(str(name).strip() for name in names))
        object.__setattr__(self, "targets", names)
        for field in ("rank_pattern", "alpha_pattern"):
            object.__setattr__(self, field, _pairs(field, getattr(self, field)))
        if not any(names):
            raise ConfigError(f"targets is empty; name some of {', '.join(_KNOWN)}")
        for name in names:
            _require_target(name, (*_KNOWN, ALL_LINEAR))
        for name, rank in (("rank", self.rank), *self._ranks.items()):
            if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1:
                raise ConfigError(f"{name} is {rank!r}; a rank is a whole number of 1 or more")
        for name, alpha in (("alpha", self.alpha), *self._alphas.items()):
            if not _is_number(alpha) or not 0 < alpha < math.inf:
                raise ConfigError(f"{name} is {alpha!r}; an alpha is a number above 0")
        if not _is_number(self.dropout) or not 0 <= self.dropout < 1:
            raise ConfigError(
                f"dropout is {self.dropout!r}; it takes a number of 0 or more and under 1"
            )
        for field in ("rslora", "dora"):
            if not isinstance(getattr(self, field), bool):
                raise ConfigError(f"{field} is {getattr(self, field)!r}; it takes true or false")

    def rows(self, config: ModelConfig) -> list[AdaptedRows]:
        """Return what is adapted in a model of this architecture, in the order of its layers.

        Raises:
            ConfigError: a target that the model lacks; a rank above that of its matrix.
        """
        places = _places(config)
        for name in self._names:
            _require_target(name, (*places, ALL_LINEAR))
        wanted = set(self._names)
        if ALL_LINEAR in wanted:
            wanted |= places.keys() - {HEAD}
        for name in (*self._ranks, *self._alphas):
            _require_target(name, [place for place in places if place in wanted])
        return [self._adapted(name, *place) for name, place in places.items() if name in wanted]

    def count_parameters(self, config: ModelConfig) -> int:
        """Return the number of numbers that adapters add to a model of this architecture."""
        total = 0
        for rows in self.rows(config):
            n = rows.rank * (rows.inputs + rows.n_rows) + (rows.n_rows if self.dora else 0)
            total += n * (1 if rows.layer == HEAD else config.n_layers)
        return total

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        fields = dataclasses.asdict(self)
        patterns = {"rank_pattern": dict(self._ranks), "alpha_pattern": dict(self._alphas)}
        return {**fields, "targets": list(self._names), **patterns}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` was called on.

        Raises:
            ConfigError: a value that cannot work.
            TypeError: a name that is no field.
        """
        return cls(**values)

    def _adapted(self, target: str, layer: str, start: int, stop: int, inputs: int) -> AdaptedRows:
        rank = self._ranks.get(target, self.rank)
        alpha = self._alphas.get(target, self.alpha)
        if rank > min(inputs, stop - start):
            raise ConfigError(
                f"rank {rank} is more than {target}'s matrix of {stop - start} × {inputs} has; "
                f"up to {min(inputs, stop - start)} would do"
            )
        scale = alpha / (math.sqrt(rank) if self.rslora else rank)
        return AdaptedRows(target, layer, start, stop, inputs, rank, scale)

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.targets)

    @property
    def _ranks(self) -> dict[str, int]:
        return dict(self.rank_pattern)  # type: ignore[arg-type]

    @property
    def _alphas(self) -> dict[str, float]:
        return dict(self.alpha_pattern)  # type: ignore[arg-type]


def _places(config: ModelConfig) -> dict[str, tuple[str, int, int, int]]:
    """Return (layer, first row, row after the last, I) of every target that a model has."""
    width, d_ff, q_width = config.d_model, config.d_ff, config.attention_width
    kv_width = config.n_kv_heads * config.head_dim
    qkv, ff = "attention.qkv_proj", "feed_forward"
    places = {
        "q_proj": (qkv, 0, q_width, width),
        "k_proj": (qkv, q_width, q_width + kv_width, width),
        "v_proj": (qkv, q_width + kv_width, q_width + 2 * kv_width, width),
        "o_proj": ("attention.out_proj", 0, width, q_width),
        "gate_proj": (f"{ff}.gate_proj", 0, d_ff, width),
        "up_proj": (f"{ff}.up_proj", 0, d_ff, width),
        "down_proj": (f"{ff}.down_proj", 0, width, d_ff),
        HEAD: (HEAD, 0, config.vocab_size, width),
    }
    if config.activation != "swiglu":
        del places["gate_proj"]
    return places


_KNOWN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", HEAD)


def _require_target(name: str, known: Iterable[str]) -> None:
    if name not in known:
        raise ConfigError(f"no target {name!r} to adapt; there are {', '.join(known)}")


def _pairs(field: str, pattern: Any) -> tuple[tuple[str, float], ...]:
    """Return numbers by target as pairs, sorted by name."""
    try:
        if isinstance(pattern, str):
            words = [part.partition("=") for part in pattern.split(",") if part.strip()]
            pattern = {name.strip(): float(value) for name, _, value in words}
        pairs = dict(pattern)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{field} is {pattern!r}; numbers by target are expected, such as q_proj=4,v_proj=2"
        ) from None
    for name, value in pairs.items():
        _require_target(name, _KNOWN)
        if field == "rank_pattern" and isinstance(value, float) and value.is_integer():
            pairs[name] = int(value)
    return tuple(sorted(pairs.items()))


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
