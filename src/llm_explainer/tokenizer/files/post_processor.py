"""What a ``tokenizer.json`` puts around the ids of a text: we follow tokens before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.tokenizer_json import (
    JsonObject,
    check_byte_level,
    expect,
    refuse_other_keys,
    require,
)

_TEXT = {"Sequence": {"id": "A", "type_id": 0}}


def read_prefix(steps: Sequence[JsonObject], special_tokens: Mapping[str, int]) -> tuple[int, ...]:
    """Return the ids that a post-processor puts before a text.

    ``ByteLevel`` changes where tokens say that they stand, and no ids.

    Raises:
        TokenizerError: it does anything else to the ids of a text.
    """
    prefix: tuple[int, ...] = ()
    for step in steps:
        if step.get("type") == "ByteLevel":
            check_byte_level(step)
            continue
        require(step.get("type"), ("TemplateProcessing",), "type of post_processor")
        known = ("type", "single", "pair", "special_tokens")
        refuse_other_keys(step, known, "TemplateProcessing")
        prefix = _of_template(step, special_tokens) + prefix
    return prefix


def prefix_to_json(prefix: Sequence[int], special_tokens: Mapping[str, int]) -> JsonObject | None:
    """Return the post-processor that ``read_prefix`` reads; None for no ids."""
    if not prefix:
        return None
    names = {token_id: name for name, token_id in special_tokens.items()}
    before = [{"SpecialToken": {"id": names[i], "type_id": 0}} for i in prefix]
    return {
        "type": "TemplateProcessing",
        "single": [*before, _TEXT],
        "pair": [*before, _TEXT, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            names[i]: {"id": names[i], "ids": [i], "tokens": [names[i]]} for i in prefix
        },
    }


def _of_template(step: JsonObject, special_tokens: Mapping[str, int]) -> tuple[int, ...]:
    pieces = expect(step.get("single"), list, "single of TemplateProcessing")
    kinds = [next(iter(expect(piece, dict, "a piece of a template")), None) for piece in pieces]
    if kinds[-1:] != ["Sequence"] or kinds.count("Sequence") != 1:
        raise TokenizerError(
            f"the template of post_processor is {shorten(kinds)}; tokens before a text are followed"
        )
    text = expect(pieces[-1]["Sequence"], dict, "Sequence of a template")
    require(text.get("id"), ("A",), "Sequence of a template")
    given = expect(step.get("special_tokens", {}), dict, "special_tokens of TemplateProcessing")
    ids: list[int] = []
    for piece in pieces[:-1]:
        token = expect(piece.get("SpecialToken"), dict, "SpecialToken of a template")
        name = expect(token.get("id"), str, "the id of a template's token")
        means = expect(given.get(name), dict, f"token {shorten(name)} of a template")
        ids += expect(means.get("ids"), list, f"the ids of {shorten(name)} in a template")
    for token_id in ids:
        if type(token_id) is not int or token_id not in special_tokens.values():
            raise TokenizerError(
                f"post_processor puts {shorten(token_id)} before a text, which is the id of no "
                "added token"
            )
    return tuple(ids)
