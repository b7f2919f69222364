"""Models that transformers made give the logits that transformers computed."""

from pathlib import Path

import numpy as np
import pytest

from llm_explainer.checkpoint import load_model, save_checkpoint
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
