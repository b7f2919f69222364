"""Models that transformers made give the logits that transformers computed, or are refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from llm_explainer.checkpoint import load_model, save_checkpoint
from llm_explainer.errors import CheckpointError
from llm_explainer.tokenizer import CharTokenizer

GOLDEN = Path(__file__).parent / "golden"  # made by golden/make_golden.py


NAMES = sorted(path.parent.name for path in GOLDEN.glob("*/logits.npz"))


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_those_of_transformers(name, tmp_path):
    golden = np.load(GOLDEN / name / "logits.npz")
    model = load_model(GOLDEN / name)
    np.testing.assert_allclose(model(golden["ids"]), golden["logits"], rtol=0, atol=1e-5)
    ours = save_checkpoint(tmp_path / "model", model, CharTokenizer.train(["text"]))
    np.testing.assert_array_equal(load_model(ours)(golden["ids"]), model(golden["ids"]))


@pytest.mark.parametrize("key", ["logit_scale", "attention_multiplier", "query_pre_attn_scalar"])
@pytest.mark.parametrize("name", NAMES)
def test_what_no_type_here_has_is_refused_by_all(name, key, tmp_path):
    path = shutil.copytree(GOLDEN / name, tmp_path / name)
    document = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**document, key: 0.5}))
    with pytest.raises(CheckpointError, match=f"{key} is 0.5; it is not known here"):
        load_model(path)
