"""A backend's training step with its optimizer, as a config asks for them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from llm_explainer.training.config import TrainConfig
from llm_explainer.training.distributed.processes import ProcessGroup


def make_train_step(
    nn: ModuleType, model: Any, config: TrainConfig, group: ProcessGroup | None = None
) -> Any:
    """Return a backend's training step for ``model``, with an optimizer, as ``config`` says.

    ``group`` are the processes that make it together, as ``nn.connect`` returns them.
    """
    return nn.TrainStep(
        model,
        _make_optimizer(nn, model, config),
        clip_norm=config.clip_norm,
        workers=config.workers,
        micro_batch=config.micro_batch,
        dtype=config.dtype,
        recompute=config.recompute,
        group=group,
    )


def _make_optimizer(nn: ModuleType, model: Any, config: TrainConfig) -> Any:
    if config.optimizer == "sgd":
        return nn.SGD(model, momentum=config.beta1, weight_decay=config.weight_decay)
    kind = nn.Muon if config.optimizer == "muon" else nn.AdamW
    return kind(
        model,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
    )
