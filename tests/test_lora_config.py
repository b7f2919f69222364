"""Settings of adapters that cannot be, and calls in an order that cannot be, are refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_models import random_model, small_config

from llm_explainer import LoRAConfig, apply_lora, merge_lora, unmerge_lora
from llm_explainer.errors import ConfigError

BAD_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "unknown target": ({"targets": "q_proj,wq"}, r"no target 'wq' to adapt; there are q_proj, "),
    "no gate": ({"targets": "gate_proj"}, r"no target 'gate_proj' .* up_proj, down_proj, head"),
    "no target": ({"targets": []}, "targets is empty; name some of q_proj"),
    "rank 0": ({"rank": 0}, "rank is 0; a rank is a whole number of 1 or more"),
    "rank above the matrix": ({"rank": 9}, r"rank 9 is more than q_proj's matrix of 8 × 8 has"),
    "its own rank": ({"rank_pattern": "up_proj=7"}, r"rank 7 is more than up_proj's .* up to 6"),
    "alpha": ({"alpha": 0.0}, "alpha is 0.0; an alpha is a number above 0"),
    "dropout": ({"dropout": 1.0}, "dropout is 1.0; it takes a number of 0 or more and under 1"),
    "flag": ({"dora": "yes"}, "dora is 'yes'; it takes true or false"),
    "pattern": ({"rank_pattern": "q_proj"}, "rank_pattern is .* such as q_proj=4"),
    "pattern of what is not adapted": (
        {"targets": "q_proj", "alpha_pattern": {"v_proj": 2}},
        "no target 'v_proj' to adapt; there are q_proj$",
    ),
}


@pytest.mark.parametrize(("fields", "message"), BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_settings_that_cannot_be_are_refused(fields: dict[str, Any], message: str) -> None:
    base = random_model(small_config(), np.float32)
    with pytest.raises(ConfigError, match=message):
        apply_lora(base, LoRAConfig(**{"rank": 2, **fields}))


def test_adapters_are_put_on_once_and_merged_once() -> None:
    base = random_model(small_config(), np.float32)
    adapted = apply_lora(base, LoRAConfig(rank=1))
    with pytest.raises(ConfigError, match="has adapters already; put these on its base"):
        apply_lora(adapted, LoRAConfig(rank=1))
    with pytest.raises(ConfigError, match="no adapters to merge; apply or load some first"):
        merge_lora(base)
    with pytest.raises(ConfigError, match="no merged adapters; unmerge what merge_lora returned"):
        unmerge_lora(base)


def test_settings_come_in_several_forms() -> None:
    texts = LoRAConfig(targets="q_proj, v_proj", rank_pattern="v_proj=4", alpha_pattern="q_proj=2")
    values = LoRAConfig(
        targets=["q_proj", "v_proj"], rank_pattern={"v_proj": 4}, alpha_pattern={"q_proj": 2.0}
    )
    assert texts == values
    assert hash(texts) == hash(values)
    assert LoRAConfig.from_dict(texts.to_dict()) == texts
    assert [rows.rank for rows in texts.rows(small_config())] == [8, 4]
    scales = [rows.scale for rows in LoRAConfig(rank=4, rslora=True).rows(small_config())]
    assert scales == [16 / 2] * len(scales)
