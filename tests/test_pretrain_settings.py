"""Settings of the data reach the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from llm_explainer.training.config import TrainConfig
from llm_explainer.training.pretrain import DataConfig, PretrainSettings
from llm_explainer.training.runs.folder import RunFolder
from llm_explainer.training.runs.run import start_run


@pytest.mark.parametrize("fraction", [None, 0.3])
def test_a_share_of_the_text_is_kept_for_validation(tmp_path: Path, fraction: float | None) -> None:
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("the quick brown fox jumps over the lazy dog. " * 40)
    share = {} if fraction is None else {"val_fraction": fraction}
    settings = PretrainSettings(
        data=DataConfig(corpus=str(corpus), tokenizer="char", **share),
        train=TrainConfig(steps=1, batch_size=1, workers=1),
        size="tiny",
        model={"context_length": 16, "d_model": 16},
        backend="numpy",
    )
    start_run(settings, RunFolder(tmp_path / "run"))
    n_tokens = {
        name: np.load(tmp_path / "run" / "data" / f"{name}.npy").size
        for name in ("train", "validation")
    }
    measured = n_tokens["validation"] / sum(n_tokens.values())
    assert measured == pytest.approx(fraction or 0.1, abs=0.01)
