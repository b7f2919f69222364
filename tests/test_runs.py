"""Runs of every kind start and resume in one way; what differs is each kind's own."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_models import random_tokens, small_config

from llm_explainer import numpy_backend
from llm_explainer.batch import Batch
from llm_explainer.errors import CheckpointError, ConfigError
from llm_explainer.model_spec import ModelSpec, freeze
from llm_explainer.training.config import TrainConfig
from llm_explainer.training.events import StepDone
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.runs import kinds
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.kinds import Material, Prepared
from llm_explainer.training.runs.names import make_free_folder
from llm_explainer.training.runs.record import RunRecord
from llm_explainer.training.runs.run import resume_run, start_run

TRAIN = TrainConfig(
    steps=4, batch_size=2, workers=1, eval_every=0, eval_windows=4, sample_every=0, warmup_steps=0
)


AS_SAVED = {
    "blocks.0.attention.qkv_proj.bias": "h.0.attn.c_attn.bias",
    "token_embedding.weight": "wte.weight",
}
FROZEN = tuple(AS_SAVED)
ENDS = ("step-000002", "step-000004")  # the two that are kept


def pretraining(tmp_path: Path, **data: Any) -> PretrainSettings:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    return PretrainSettings(
        data=DataConfig(corpus=str(corpus), tokenizer="char", **data),
        train=TRAIN,
        size="tiny",
        model={"context_length": 16, "d_model": 16},
        backend="numpy",
    )


@dataclasses.dataclass(frozen=True)
class Echo:
    """A kind of run that is not the library's: say again what stands in a file of ids."""

    kind: ClassVar[str] = "echo"
    means: ClassVar[str] = "newest"
    data_files: ClassVar[tuple[str, ...]] = ("ids.npy",)
    train: TrainConfig
    words: int
    frozen: tuple[str, ...] = ()
    backend: str = "numpy"

    def own_record(self) -> dict[str, Any]:
        return {"words": self.words}

    def load(self) -> Callable[[RunFolder, Any], Prepared]:
        config = small_config(n_layers=2)

        def prepare(folder: RunFolder, report: Any) -> Prepared:
            np.save(folder.data_folder / "ids.npy", random_tokens(config, self.words, 6))
            corpus = f"{self.words} words"
            if not self.frozen:
                return Prepared(corpus, None, ModelSpec(config))
            model = numpy_backend.GPT(config, seed=3)
            freeze(model, self.frozen)
            return Prepared(corpus, None, ModelSpec.of(model), model)

        return prepare

    @staticmethod
    def open(
        folder: RunFolder, config: Any, train: TrainConfig, tokenizer: Any, own: Any
    ) -> Material:
        ids = np.load(folder.data_folder / "ids.npy")[: own["words"]]
        return Material(EchoBatches(ids, train.batch_size))


class EchoBatches:
    """Only the second half of each word counts."""

    def __init__(self, ids: Any, n_rows: int) -> None:
        self.ids, self.n_rows = ids, n_rows  # (words, 6)

    def training(self, index: int) -> Batch:
        start = index * self.n_rows % len(self.ids)
        ids = self.ids[start : start + self.n_rows]
        return Batch(ids, ids, np.arange(6) + np.zeros_like(ids) >= 3)

    def validation(self, max_windows: int | None = None) -> Iterator[Batch]:
        yield self.training(0)


def train_until(run: Any, last: int) -> list[float]:
    """Train up to a step; return the losses."""
    losses: list[float] = []

    def watch(event: Any) -> None:
        if isinstance(event, StepDone):
            losses.append(event.loss)
            if event.step == last:
                run.trainer.request_stop()

    run.train([watch])
    return losses


@pytest.mark.parametrize("frozen", [(), FROZEN], ids=["", "frozen"])
def test_a_further_kind_is_a_class_and_a_line(
    frozen: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(kinds._HOMES, "echo", (__name__, "Echo"))
    settings = Echo(TRAIN, words=8, frozen=frozen)
    whole, stopped = (start_run(settings, RunFolder(tmp_path / name)) for name in ("a", "b"))
    size = "0.00 M parameters" + (", 0.00 M learn" if frozen else "")
    assert whole.description == f"gpt2, {size}, 8 words, numpy, 1 workers"
    expected, first = train_until(whole, 9), train_until(stopped, 2)
    again = resume_run(RunFolder(tmp_path / "b"))
    assert first + train_until(again, 9) == expected
    assert len(expected) == 4
    record = json.loads((tmp_path / "b" / "run.json").read_text())
    assert (record["kind"], record["words"]) == ("echo", 8)
    weights = [load_file(tmp_path / "b" / step / "model.safetensors") for step in ENDS]
    same = {name for name in weights[0] if np.array_equal(weights[0][name], weights[1][name])}
    assert same == {AS_SAVED[name] for name in frozen}
    for name in ("model.safetensors", "optimizer.safetensors"):
        ends = [(tmp_path / run / "last" / name).read_bytes() for run in ("a", "b")]
        assert ends[0] == ends[1]


@pytest.mark.parametrize("mine", [None, "train.npy", "notes.txt"])
def test_what_a_further_kind_wrote_is_its_own_when_it_is_killed(
    mine: str | None, tmp_path: Path
) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.create(Echo.data_files)
    for name in ("ids.npy", ".ids.npy.0123abcd.tmp", *([mine] if mine else [])):
        (folder.data_folder / name).write_bytes(b"half")
    if mine:  # of somebody else, whatever other kinds of runs write
        with pytest.raises(CheckpointError, match="not a run's"):
            start_run(pretraining(tmp_path), RunFolder(folder.path))
    else:
        start_run(pretraining(tmp_path), RunFolder(folder.path))
    left = {path.name for path in folder.data_folder.iterdir()}
    assert left == ({mine} if mine else {"train.npy", "validation.npy"})


def test_what_others_put_there_while_it_prepares_is_not_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = [True]

    def meanwhile(*arguments: Any) -> None:
        (tmp_path / "run/data/mine.npy").write_text("mine")
        if not works:
            raise ConfigError("no")

    monkeypatch.setattr("llm_explainer.training.pretrain.check_ids", meanwhile)
    folder = RunFolder(tmp_path / "run")
    start_run(pretraining(tmp_path), folder).folder.let_go()
    assert "mine.npy" not in json.loads((tmp_path / "run/run-files.json").read_text())["data"]
    shutil.rmtree(tmp_path / "run")
    works.clear()
    with pytest.raises(ConfigError):
        start_run(pretraining(tmp_path), RunFolder(tmp_path / "run"))
    left = [str(path.relative_to(tmp_path)) for path in (tmp_path / "run").rglob("*")]
    assert sorted(left) == ["run/data", "run/data/mine.npy"]


def test_a_kind_that_there_is_not_is_one_line(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    start_run(pretraining(tmp_path), folder).train()
    record = json.loads(folder.record_file.read_text())
    for kind in ("finetune", None, ["pretrain"]):
        folder.record_file.write_text(json.dumps({**record, "kind": kind}))
        with pytest.raises(
            CheckpointError, match=r"run\.json: kind is .* knows runs of kind"
        ) as told:
            resume_run(folder)
        assert repr(kind) in str(told.value)


def test_a_run_of_an_earlier_version_resumes(tmp_path: Path) -> None:
    """Whose workers were called threads, and which did not say how batches are cut."""
    folder = RunFolder(tmp_path / "run")
    run = start_run(pretraining(tmp_path), folder)
    train_until(run, 2)
    record = json.loads(folder.record_file.read_text())
    record["train"]["threads"] = record["train"].pop("workers") + 1
    for name in ("micro_batch", "dtype", "recompute", "memory_limit_gb"):
        del record["train"][name]
    record["model"] = run.trainer.model.config.to_dict()
    folder.record_file.write_text(json.dumps(record))
    resumed = resume_run(folder)
    assert (resumed.trainer.config.workers, resumed.trainer.config.micro_batch) == (2, 2)
    assert resumed.description.endswith("numpy, 2 workers")
    assert len(train_until(resumed, 9)) == 2


def test_a_record_comes_back_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    settings = pretraining(tmp_path)
    train = dataclasses.replace(settings.train, workers=0)  # one for each processor
    start_run(dataclasses.replace(settings, train=train), folder)
    assert {entry.name for entry in folder.path.iterdir()} == {
        *("data", "run.json", "run-files.json", "run.lock")
    }
    values = folder.read_record()
    assert values["train"]["workers"] == numpy_backend.available_cores()
    assert values["train"]["micro_batch"] == 2
    assert list(values) == ["kind", "backend", "corpus", "data", "start_from", "model", "train"]
    record = RunRecord.from_dict(values, folder.record_file)
    assert record.to_dict() == values
    for name in ("backend", "corpus", "model", "train"):
        damaged = {key: value for key, value in values.items() if key != name}
        with pytest.raises(CheckpointError, match=f"run.json is damaged: '{name}'"):
            RunRecord.from_dict(damaged, folder.record_file)
    for name, value in (("train", {"steps": 0}), ("train", []), ("model", {"vocab_size": 1})):
        with pytest.raises(CheckpointError, match=r"run\.json is damaged"):
            RunRecord.from_dict({**values, name: value}, folder.record_file)


@pytest.mark.parametrize("fraction", [None, 0.3])
def test_a_share_of_the_text_is_kept_for_validation(tmp_path: Path, fraction: float | None) -> None:
    share = {} if fraction is None else {"val_fraction": fraction}
    start_run(pretraining(tmp_path, **share), RunFolder(tmp_path / "run"))
    n_tokens = {
        name: np.load(tmp_path / "run" / "data" / f"{name}.npy").size
        for name in ("train", "validation")
    }
    measured = n_tokens["validation"] / sum(n_tokens.values())
    assert measured == pytest.approx(fraction or 0.1, abs=0.01)


def test_a_new_run_takes_the_first_name_that_is_free(tmp_path: Path) -> None:
    names = []
    for _ in range(3):
        path = make_free_folder(tmp_path, "story")
        assert path.is_dir()
        names.append(path.name)
    assert names == ["story", "story-2", "story-3"]
