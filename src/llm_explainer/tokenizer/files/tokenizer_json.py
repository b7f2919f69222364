"""``tokenizer.json``: the one file of a tokenizer, in Hugging Face's format."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from llm_explainer.errors import TokenizerError
from llm_explainer.json_files import NotJsonObjectError, read_json_object
from llm_explainer.tokenizer.checks import shorten

JsonObject = dict[str, Any]
T = TypeVar("T")

MOST_IDS = 1 << 22
"""Ids that tables are made for; the largest vocabularies have a tenth of it."""

_MAX_BYTES = 1 << 27  # the largest in use have a quarter of this
TOP_LEVEL_KEYS = (
    *("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer"),
    *("post_processor", "decoder", "model"),
)
"""What ``to_bytes`` writes; other software refuses further ones as well."""

_BYTE_LEVEL = ("add_prefix_space", "trim_offsets", "use_regex")
_KIND_NAMES = {dict: "an object", list: "a list", str: "a text", int: "a whole number"}


def to_bytes(
    *,
    model: JsonObject,
    pre_tokenizer: JsonObject | None,
    decoder: JsonObject,
    added_tokens: list[JsonObject],
    normalizer: JsonObject | None = None,
    post_processor: JsonObject | None = None,
) -> bytes:
    """Return the file's content: what differs between tokenizers, in the frame that they share."""
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens,
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post_processor,
        "decoder": decoder,
        "model": model,
    }
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode()


def read_text(path: str | os.PathLike[str]) -> str:
    """Return the text of a file.

    Raises:
        TokenizerError: a file that is missing, unreadable, larger than 128 MiB, or not UTF-8.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise TokenizerError(f"cannot be read: {getattr(error, 'strerror', error)}") from None
    if len(data) > _MAX_BYTES:
        raise TokenizerError(f"is larger than {_MAX_BYTES} bytes, so it is no tokenizer")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise TokenizerError("is not UTF-8 text, so it is damaged or no tokenizer") from None


def read_json(path: str | os.PathLike[str]) -> JsonObject:
    """Return the object in a JSON file.

    Raises:
        TokenizerError: a file that is missing, unreadable, or larger than 128 MiB; or what it holds
            is not UTF-8, not JSON, or not an object.
    """
    try:
        return read_json_object(Path(path), _MAX_BYTES)
    except NotJsonObjectError as error:
        raise TokenizerError(str(error)) from None
    except (OSError, ValueError) as error:
        raise TokenizerError(f"cannot be read: {getattr(error, 'strerror', error)}") from None


def expect(value: object, kind: type[T], what: str) -> T:
    """Return ``value`` if it is of the kind that belongs there.

    Raises:
        TokenizerError: it is not; the message calls it ``what``.
    """
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TokenizerError(f"{what} is {shorten(value)}; {_KIND_NAMES[kind]} is expected")
    return value


def require(value: object, allowed: tuple[object, ...], what: str) -> None:
    """Refuse a setting that would change the ids in a way that this tokenizer does not know.

    Raises:
        TokenizerError: the value is not among those that are allowed.
    """
    # True == 1 and "" == "": the type has to agree as well.
    if not any(value == choice and type(value) is type(choice) for choice in allowed):
        choices = " or ".join(json.dumps(choice) for choice in allowed)
        raise TokenizerError(f"{what} is {shorten(value)}; only {choices} is supported")


def read_vocab(model: JsonObject) -> dict[str, int]:
    """Return the vocabulary of a file's model, every token and id of the right type.

    Raises:
        TokenizerError: it is not such a mapping.
    """
    vocab = expect(model.get("vocab"), dict, "model.vocab")
    for token, token_id in vocab.items():
        expect(token_id, int, f"the id of token {shorten(token)}")
    return vocab


def refuse_other_keys(values: JsonObject, known: Collection[str], what: str) -> None:
    """Refuse a key that is not known, whatever it says: it might change the ids.

    Raises:
        TokenizerError: names the key.
    """
    for key in values:
        if key not in known:
            raise TokenizerError(
                f"{what} has the key {shorten(key)}, which is not known here and might change the "
                "ids"
            )


def ordinary_tokens(vocab: dict[str, int], special_tokens: Mapping[str, int]) -> dict[int, str]:
    """Return the token of every id, without the special tokens, which files list in both places.

    Raises:
        TokenizerError: the two places disagree about an id; ids that two tokens share.
    """
    for name, token_id in special_tokens.items():
        if vocab.get(name, token_id) != token_id:
            raise TokenizerError(
                f"special token {shorten(name)} has the ids {token_id} and {vocab[name]}"
            )
    ordinary = [(i, token) for token, i in vocab.items() if token not in special_tokens]
    require_own_ids([*(i for i, _ in ordinary), *special_tokens.values()])
    return dict(ordinary)


_INSIDE = {
    "normalizer": "normalizers",
    "pre_tokenizer": "pretokenizers",
    "post_processor": "processors",
    "decoder": "decoders",
}


def steps_of(part: object, what: str) -> list[JsonObject]:
    """Return the steps of a normalizer, pre-tokenizer and so on: none, one, or a sequence's.

    Raises:
        TokenizerError: it is no such thing.
    """
    if part is None:
        return []
    step = expect(part, dict, what)
    if step.get("type") != "Sequence":
        return [step]
    inside = _INSIDE[what]
    refuse_other_keys(step, ("type", inside), f"Sequence of {what}")
    inner = expect(step.get(inside), list, f"{what}.{inside}")
    steps = [expect(step, dict, f"a step of {what}") for step in inner]
    return [found for step in steps for found in steps_of(step, what)]


def check_byte_level(step: JsonObject) -> None:
    """Refuse keys and values that no ``ByteLevel`` has.

    Raises:
        TokenizerError: names the first.
    """
    refuse_other_keys(step, ("type", *_BYTE_LEVEL), "ByteLevel")
    for setting in _BYTE_LEVEL:
        require(step.get(setting, True), (False, True), f"{setting} of ByteLevel")


def split_by(pattern: str, behavior: str, invert: bool) -> JsonObject:
    """Return the pre-tokenizer that cuts by a pattern.

    ``Isolated`` makes words of the matches and of what lies between them; ``Removed`` with
    ``invert`` makes words of the matches and drops the rest.
    """
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": behavior,
        "invert": invert,
    }


def pattern_of_split(step: JsonObject, behavior: str, invert: bool) -> str:
    """Return the pattern of a pre-tokenizer that ``split_by`` describes.

    Raises:
        TokenizerError: a step of another kind.
    """
    require(step.get("type"), ("Split",), "type of pre_tokenizer")
    refuse_other_keys(step, ("type", "pattern", "behavior", "invert"), "Split")
    require(step.get("behavior"), (behavior,), "behavior of Split")
    # Isolated keeps all pieces, the matches and the rest, so it makes no difference which is which.
    either = (False, True) if behavior == "Isolated" else (invert,)
    require(step.get("invert", False), either, "invert of Split")
    pattern = expect(step.get("pattern"), dict, "pattern of Split")
    refuse_other_keys(pattern, ("Regex", "String"), "pattern of Split")
    if "String" in pattern and "Regex" not in pattern:
        return re.escape(expect(pattern["String"], str, "pattern.String of Split"))
    return expect(pattern.get("Regex"), str, "pattern.Regex of Split")


def require_own_ids(ids: Iterable[int]) -> None:
    """Refuse ids that two tokens share, or that are none. There may be ids that no token has.

    Raises:
        TokenizerError: names such an id.
    """
    for token_id, count in Counter(ids).items():
        if count > 1:
            raise TokenizerError(f"id {token_id} is there twice; every token has an id of its own")
        if not 0 <= token_id < MOST_IDS:
            raise TokenizerError(f"id {token_id} is none; ids are 0 to {MOST_IDS - 1}")
