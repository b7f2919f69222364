"""Training and fine-tuning from Python in a few lines, for notebooks and programs of one's own.

    run = train(corpus="mine.txt", size="tiny", steps=200)
    run.plot()
    answers = finetune(run, data="qa.jsonl", lora=LoRAConfig(rank=8))

The scripts do the same with options: settings, ``start_run``, ``Run.train``.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_explainer.commands.training import train_from_python
from llm_explainer.data.windows import Ids
from llm_explainer.errors import ConfigError
from llm_explainer.lora_config import LoRAConfig
from llm_explainer.tokenizer import Tokenizer
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.finetune import finetune_settings, open_start
from llm_explainer.training.finetune_data import RecordsConfig
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.recipes import recipe
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.kinds import RunSettings
from llm_explainer.training.runs.log import read_log
from llm_explainer.training.runs.loss_curve import loss_figure
from llm_explainer.training.runs.run import start_run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from llm_explainer.training.trainer import TrainResult

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class TrainedRun:
    """A run that has trained, to the end or to Ctrl-C: its model, its history, its folder."""

    path: Path
    model: Any  # with the weights of the last step
    tokenizer: Tokenizer | None
    result: TrainResult

    @property
    def losses(self) -> list[float]:
        """The loss of every step, in nats a token."""
        return [event["loss"] for event in self._log() if event["event"] == "step"]

    def plot(self) -> Figure:
        """Return the picture of the loss, which a notebook shows."""
        return loss_figure(self._log(), self.path.name)

    def _log(self) -> list[dict[str, Any]]:
        return read_log(RunFolder(self.path).log_file)


def train(
    corpus: str | Path | Ids | tuple[Ids, Ids] = "auto",
    *,
    size: str = "small",
    family: str = "gpt2",
    model: Mapping[str, Any] | None = None,
    backend: str = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **settings: Any,
) -> TrainedRun:
    """Pre-train a model and return the run; Ctrl-C ends it early, with what it has learned.

    Args:
        corpus: a corpus by name, a text file or a folder; or ids of your own (n,), of which the
            last tenth is for validation; or two arrays of ids, to train on and to validate on
        size: a named size, which decides the training, too
        family: gpt2 or llama
        model: changes to the size, such as ``{"n_layers": 2}``
        backend: auto, numpy or mlx
        out: the run's folder; by default a new one under runs/
        overwrite: replace the run in ``out``
        progress: whether to show how it goes
        **settings: fields of ``DataConfig`` and ``TrainConfig``, such as ``steps=200``

    Raises:
        ConfigError: no such setting, or one that cannot work.
        LLMExplainerError: text, ids or a folder that cannot be used.
    """
    data, training = _sorted_out(settings, DataConfig, TrainConfig)
    with ExitStack() as stack:
        if isinstance(corpus, (str, Path)):
            data["corpus"] = str(corpus)
        else:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            data |= _write_ids(corpus, folder)
            data.setdefault("vocab_size", 1 + max(int(part.max()) for part in _parts(corpus)))
        plan = PretrainSettings(
            data=DataConfig(**data),
            train=recipe(size, **training),
            size=size,
            family=family,
            model=dict(model or {}),
            backend=backend,
        )
        return _run(plan, "pretrain", out, overwrite, progress)


def finetune(
    base: TrainedRun | str | Path,
    data: str | Path = "stories",
    *,
    lora: LoRAConfig | None = None,
    epochs: float | None = None,
    backend: str = "auto",
    out: str | Path | None = None,
    overwrite: bool = False,
    progress: bool = True,
    **settings: Any,
) -> TrainedRun:
    """Fine-tune a model and return the run; Ctrl-C ends it early, with what it has learned.

    Args:
        base: a run, a checkpoint, or a GPT-2 or Llama directory from elsewhere
        data: a JSONL file of records, or stories for questions about them
        lora: train adapters of this kind; None trains all parameters
        epochs: how often every record comes
        backend, out, overwrite, progress: as for ``train``
        **settings: fields of ``RecordsConfig`` and ``TrainConfig``

    Raises:
        ConfigError: no such setting, or one that cannot work.
        LLMExplainerError: a base, records or a folder that cannot be used.
    """
    records, training = _sorted_out(settings, RecordsConfig, TrainConfig)
    path = base.path if isinstance(base, TrainedRun) else base
    start = open_start(path, RecordsConfig(**{**records, "data": str(data)}))
    plan = finetune_settings(start, lora, epochs=epochs, backend=backend, **training)
    return _run(plan, plan.kind, out, overwrite, progress)


def _run(
    plan: RunSettings, name: str, out: str | Path | None, overwrite: bool, progress: bool
) -> TrainedRun:
    """Start a run and train it."""
    folder = RunFolder.asked_for(out, name, overwrite=overwrite)
    run = start_run(plan, folder, overwrite=overwrite)
    result = train_from_python(run, progress=progress)
    return TrainedRun(folder.path, run.trainer.model, run.trainer.tokenizer, result)


def _sorted_out(settings: Mapping[str, Any], *classes: type) -> list[dict[str, Any]]:
    """Return the settings that are fields of each class.

    Raises:
        ConfigError: one that is a field of none.
    """
    fields = [{field.name for field in dataclasses.fields(kind)} for kind in classes]
    for name in settings:
        if not any(name in known for known in fields):
            raise ConfigError(
                f"no setting {name!r}; there are {', '.join(sorted(set().union(*fields)))}"
            )
    return [{n: v for n, v in settings.items() if n in known} for known in fields]


def _parts(ids: Any) -> tuple[Ids, Ids]:
    """Return ids to train on and ids to validate on.

    Raises:
        ConfigError: something that is no ids.
    """
    parts = ids if isinstance(ids, tuple) else (ids,)
    arrays = [np.asarray(part) for part in parts]
    for array in arrays:
        if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size or array.min() < 0:
            raise ConfigError(
                f"corpus holds {array.dtype} of shape {array.shape}; ids are whole numbers of 0 or "
                "more in a flat array that is not empty"
            )
    if len(arrays) == 1:
        border = len(arrays[0]) - max(2, int(len(arrays[0]) * VALIDATION_SHARE))
        arrays = [arrays[0][:border], arrays[0][border:]]
    if len(arrays) != 2:
        raise ConfigError(f"corpus is {len(arrays)} arrays; it takes one, or two")
    return arrays[0], arrays[1]


def _write_ids(ids: Any, folder: Path) -> dict[str, str]:
    """Write ids into token files; return the settings that name them."""
    names = {}
    for name, part in zip(("train_data", "val_data"), _parts(ids), strict=True):
        path = folder / f"{name}.npy"
        np.save(path, part.astype(np.uint32), allow_pickle=False)
        names[name] = str(path)
    return names
