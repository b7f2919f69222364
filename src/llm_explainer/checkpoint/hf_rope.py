"""Rotations in the words of ``config.json``: the base, and rules for longer contexts.

They have been in three places. transformers 5 lets ``rope_scaling`` win over ``rope_parameters``,
earlier versions and mlx-lm read the keys outside, so where there are several they must agree.
"""

from __future__ import annotations

import math
from typing import Any

from llm_explainer.checkpoint.json_objects import JsonObject
from llm_explainer.rope_scaling import RopeScaling

_SECTIONS = ("rope_parameters", "rope_scaling")
_ALWAYS = ("rope_type", "type", "partial_rotary_factor", "rope_theta")
_ORIGINAL = "original_max_position_embeddings"
_OF_RULE: dict[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", _ORIGINAL),
    "yarn": (
        *("factor", "beta_fast", "beta_slow", _ORIGINAL),
        *("attention_factor", "mscale", "mscale_all_dim", "truncate"),
    ),
}
_WRITTEN: dict[str, tuple[str, ...]] = {
    "linear": (),
    "llama3": ("low_freq_factor", "high_freq_factor"),
    "yarn": ("beta_fast", "beta_slow", "attention_factor", "truncate"),
}


def to_rope(theta: float, scaling: RopeScaling | None) -> dict[str, Any]:
    """Return the keys for both: transformers 5 reads ``rope_parameters``, others the two beside."""
    if scaling is None:
        rule: dict[str, Any] = {"rope_type": "default"}
        return {"rope_theta": theta, "rope_parameters": {**rule, "rope_theta": theta}}
    rule = {"rope_type": scaling.rule, "factor": scaling.factor}
    if scaling.rule != "linear":
        rule[_ORIGINAL] = scaling.original_context
    rule |= {name: getattr(scaling, name) for name in _WRITTEN[scaling.rule]}
    return {
        "rope_theta": theta,
        "rope_parameters": {**rule, "rope_theta": theta},
        "rope_scaling": rule,
    }


def read_rope(values: JsonObject, default_theta: float, context: int) -> dict[str, Any]:
    """Return ``rope_theta`` and ``rope_scaling`` of a ``ModelConfig``.

    Args:
        values: the content of a ``config.json``.
        default_theta: where no key says it.
        context: tokens of the model's context.

    Raises:
        CheckpointError: a rule that we lack, numbers that it does not have, or keys that disagree.
        ConfigError: numbers that cannot work.
    """
    bases = [] if values.get("rope_theta") is None else [values.number("rope_theta")]
    rules = []
    for key in _SECTIONS:
        section = values.section(key)
        if section.get("rope_theta") is not None:
            bases.append(section.number("rope_theta"))
        if section.names():
            rules.append(_read_rule(section, context))
    if len(set(bases)) > 1:
        places = "rope_theta, rope_parameters and rope_scaling"
        values.refuse("rope_theta", f"{places} say {bases}; they must agree")
    if len(set(rules)) > 1:
        values.refuse("rope_scaling", "rope_parameters says otherwise; leave one out")
    return {
        "rope_theta": bases[0] if bases else default_theta,
        "rope_scaling": rules[0] if rules else None,
    }


def _read_rule(section: JsonObject, context: int) -> RopeScaling | None:
    names = {rule: rule for rule in _OF_RULE}
    key = "rope_type" if section.get("rope_type") is not None else "type"
    rule = section.choice(key, names, "default")
    if section.get("type") is not None and section.choice("type", names) != rule:
        section.refuse("type", f"rope_type, another name for it, is {rule}; leave one out")
    if section.number("partial_rotary_factor", 1.0) != 1.0:
        section.refuse("partial_rotary_factor", "1.0 is supported")
    for name in section.names():
        if section.get(name) is not None and name not in (*_ALWAYS, *_OF_RULE[rule]):
            known = ", ".join((*_OF_RULE[rule], "rope_theta"))
            section.refuse(name, f"of the rule {rule} these are known: {known}")
    if rule == "default":
        return None
    factor = section.number("factor")
    if rule == "linear":
        return RopeScaling(rule="linear", factor=factor)
    original = section.size(_ORIGINAL, context)
    if rule == "llama3":
        return RopeScaling(
            rule="llama3",
            factor=factor,
            original_context=original,
            low_freq_factor=section.number("low_freq_factor"),
            high_freq_factor=section.number("high_freq_factor"),
        )
    return RopeScaling(
        rule="yarn",
        factor=factor,
        original_context=original,
        beta_fast=section.number("beta_fast", 32.0),
        beta_slow=section.number("beta_slow", 1.0),
        attention_factor=_attention_factor(section, factor),
        truncate=section.flag("truncate", True),
    )


def _attention_factor(section: JsonObject, factor: float) -> float:
    """Return by what queries and keys grow: as said, or by the length (Peng et al. 2023, eq. 22).

    ``mscale`` and ``mscale_all_dim``, where both are said, weigh it, as in transformers.
    """
    if section.get("attention_factor") is not None:
        return section.number("attention_factor")

    def grown(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1

    over, under = section.number("mscale", 0.0), section.number("mscale_all_dim", 0.0)
    return grown(over) / grown(under) if over and under else grown(1.0)
