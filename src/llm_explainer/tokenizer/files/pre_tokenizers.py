"""Pre-tokenizers of a ``tokenizer.json`` for byte-level BPE: steps to patterns, and back.

Every step that is followed cuts by a pattern and keeps what lies between the matches, so several of
them are several patterns. Those that have a name here, alone or together, get it, because words of
a pattern with a name are found without a regular expression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import check_text, shorten
from llm_explainer.tokenizer.files.oniguruma import as_read, as_written
from llm_explainer.tokenizer.files.tokenizer_json import (
    JsonObject,
    check_byte_level,
    pattern_of_split,
    refuse_other_keys,
    require,
    split_by,
)
from llm_explainer.tokenizer.readable.patterns import PATTERNS

Pattern = str | tuple[str, ...]

_BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
_DIGIT = r"\p{N}"
_OF_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_NAMES: dict[Pattern, str] = {
    **{source: name for name, source in PATTERNS.items()},
    _OF_GPT2: "gpt2",
    (_DIGIT, "gpt2"): "smollm",
}


def read_pattern(steps: list[JsonObject]) -> tuple[Pattern, bool]:
    """Return the pattern or patterns of a file, and whether what they leave out is kept.

    Raises:
        TokenizerError: a step that is not followed, or that cuts in a way that is not.
    """
    kinds = [step.get("type") for step in steps]
    if (
        not kinds
        or kinds[-1] != "ByteLevel"
        or any(kind not in tuple(_READERS) for kind in kinds[:-1])
    ):
        raise TokenizerError(
            f"pre_tokenizer is {shorten(kinds or None)}; ByteLevel is supported, with "
            f"{' and '.join(_READERS)} before it"
        )
    if len(steps) == 2 and steps[0].get("behavior") == "Removed":  # the rest would be lost: refused
        require(steps[-1].get("use_regex", True), (False,), "use_regex of ByteLevel")
        _of_byte_level(steps[-1])
        return _named(pattern_of_split(steps[0], "Removed", True)), False
    sources = [_READERS[step["type"]](step) for step in steps[:-1]] + _of_byte_level(steps[-1])
    patterns = [_named(source) for source in sources]
    if not patterns:
        require(steps[-1].get("use_regex", True), (True,), "use_regex of ByteLevel")
    if len(patterns) == 1:
        return patterns[0], True
    return _NAMES.get(tuple(patterns), tuple(patterns)), True


def pattern_to_json(pattern: str | Sequence[str], keeps_gaps: bool) -> JsonObject:
    """Return the pre-tokenizer that ``read_pattern`` reads."""
    patterns = [pattern] if isinstance(pattern, str) else list(pattern)
    steps: list[JsonObject] = []
    if patterns == ["smollm"]:
        steps, patterns = [{"type": "Digits", "individual_digits": True}], ["gpt2"]
    use_regex = patterns[-1] == "gpt2"  # which is built in
    for source in patterns[:-1] if use_regex else patterns:
        how = ("Isolated", False) if keeps_gaps else ("Removed", True)
        steps.append(split_by(PATTERNS.get(source) or as_written(source), *how))
    steps.append({**_BYTE_LEVEL, "use_regex": use_regex})
    return steps[0] if len(steps) == 1 else {"type": "Sequence", "pretokenizers": steps}


def _named(source: str) -> str:
    check_text(source)
    if source in PATTERNS:  # letters to others, to us a name
        source = f"(?:{source})"
    return _NAMES.get(source) or as_read(source)


def _of_split(step: JsonObject) -> str:
    return pattern_of_split(step, "Isolated", False)


def _of_digits(step: JsonObject) -> str:
    refuse_other_keys(step, ("type", "individual_digits"), "Digits")
    require(step.get("individual_digits"), (False, True), "individual_digits")
    return _DIGIT if step["individual_digits"] else rf"{_DIGIT}+"


def _of_byte_level(step: JsonObject) -> list[str]:
    require(step.get("add_prefix_space"), (False,), "add_prefix_space")
    check_byte_level(step)
    return [_OF_GPT2] if step.get("use_regex", True) else []


_READERS: dict[str, Callable[[JsonObject], str]] = {"Split": _of_split, "Digits": _of_digits}
