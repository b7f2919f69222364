"""In what numbers a loaded model is kept, and whether this machine has room for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from llm_explainer.config import ModelConfig
from llm_explainer.errors import CheckpointError
from llm_explainer.machine import available_memory
from llm_explainer.program import typed

_BYTES = {"float32": 4, "bfloat16": 2}
_IN_GROUP = 64  # numbers that share a scale and a bias where they are packed


@dataclass(frozen=True)
class Storage:
    """How a model's weights are kept in memory; anything but float32 is for inference, on MLX."""

    dtype: str = "float32"
    bits: int | None = None  # in which matrices are packed

    def n_bytes(self, config: ModelConfig) -> int:
        """Return about how many bytes a model's weights take."""
        whole = _BYTES.get(self.dtype, 4)
        each = whole if self.bits is None else self.bits / 8 + 2 * 4 / _IN_GROUP
        return int(config.count_parameters() * each)

    def described(self) -> str:
        """Return it in words."""
        return self.dtype if self.bits is None else f"{self.bits} bits, the rest in {self.dtype}"


FLOAT32 = Storage()


def describe_size(config: ModelConfig, storage: Storage) -> str:
    """Return how large a model is, such as "134.5 million parameters, 0.54 GB in float32"."""
    millions, gigabytes = config.count_parameters() / 1e6, storage.n_bytes(config) / 1e9
    return f"{millions:,.1f} million parameters, {gigabytes:.2f} GB in {storage.described()}"


def check_fits(config: ModelConfig, storage: Storage, source: Path) -> None:
    """Refuse a model whose weights alone are more than the memory that is free.

    Raises:
        CheckpointError: says how much it takes, and how much there is.
    """
    free = available_memory()
    if storage.n_bytes(config) > free:
        fewer = "" if storage.bits else ", or with --backend mlx take --quantize 4"
        raise CheckpointError(
            f"{source} does not fit in this machine's memory: {describe_size(config, storage)}, "
            f"and {free / 1e9:.2f} GB are free; close other programs{fewer}"
        )


def refuse_adapters(storage: Storage, source: Path) -> None:
    """Refuse to put adapters on anything but the numbers that they were trained on.

    Raises:
        CheckpointError: names the command that makes one model of both.
    """
    if storage != FLOAT32:
        raise CheckpointError(
            f"{source} holds adapters, which go on a base in float32, not in "
            f"{storage.described()}; make one model of both with {typed('merge')}"
        )
