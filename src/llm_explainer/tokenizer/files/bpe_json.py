"""What byte-level BPE puts into a ``tokenizer.json``, and what it reads from one."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.tokenizer_json import (
    JsonObject,
    expect,
    ordinary_tokens,
    pattern_of_split,
    read_special_tokens,
    read_vocab,
    require,
    split_by,
    to_bytes,
)
from llm_explainer.tokenizer.readable import byte_alphabet
from llm_explainer.tokenizer.readable.patterns import PATTERNS

Merge = tuple[bytes, bytes]


@dataclass(frozen=True)
class BPEParts:
    """What a byte-level BPE tokenizer consists of; see ``BPETokenizer``."""

    vocab: dict[int, bytes]  # without the special tokens
    merges: list[Merge]
    special_tokens: dict[str, int]
    pattern: str
    ignore_merges: bool = False


def bpe_to_json(parts: BPEParts) -> bytes:
    """Return the content of a ``tokenizer.json``."""
    texts = {byte_alphabet.to_text(token): token_id for token_id, token in parts.vocab.items()}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    pre_tokenizer: JsonObject = {**byte_level, "use_regex": True}  # GPT-2's pattern is built in
    if parts.pattern != "gpt2":
        split = split_by(PATTERNS.get(parts.pattern, parts.pattern), "Isolated", False)
        steps = [split, {**byte_level, "use_regex": False}]
        pre_tokenizer = {"type": "Sequence", "pretokenizers": steps}
    model = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": parts.ignore_merges,
        "vocab": {**texts, **parts.special_tokens},
        "merges": [[byte_alphabet.to_text(part) for part in merge] for merge in parts.merges],
    }
    return to_bytes(
        model=model,
        pre_tokenizer=pre_tokenizer,
        decoder={**byte_level, "use_regex": True},
        special_tokens=parts.special_tokens,
    )


def bpe_from_json(content: JsonObject) -> BPEParts:
    """Read a ``tokenizer.json`` of the byte-level BPE kind, of whatever origin.

    Raises:
        TokenizerError: another kind, settings that would change the ids, or damage.
    """
    model = expect(content.get("model"), dict, "model")
    require(model.get("type", "BPE"), ("BPE",), "model.type")
    require(content.get("normalizer"), (None,), "normalizer")
    ignore_merges = model.get("ignore_merges", False)
    require(ignore_merges, (False, True), "model.ignore_merges")
    require(model.get("dropout"), (None, 0.0), "model.dropout")
    for setting in ("continuing_subword_prefix", "end_of_word_suffix"):
        require(model.get(setting), (None, ""), f"model.{setting}")
    special_tokens = read_special_tokens(content)
    vocab = ordinary_tokens(read_vocab(model), special_tokens)
    return BPEParts(
        {token_id: token_from_text(text) for token_id, text in vocab.items()},
        read_merges(expect(model.get("merges"), list, "model.merges")),
        special_tokens,
        _read_pattern(expect(content.get("pre_tokenizer"), dict, "pre_tokenizer")),
        ignore_merges,
    )


def read_merges(entries: Iterable[object]) -> list[Merge]:
    """Read ``["Ġ", "the"]``, or ``"Ġ the"`` as it was written before 2024.

    Raises:
        TokenizerError: what is no pair of tokens.
    """
    merges = []
    for entry in entries:
        parts = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(parts, list) or len(parts) != 2:
            raise TokenizerError(f"merge {shorten(entry)} is not a pair of tokens")
        left, right = (token_from_text(expect(part, str, "a part of a merge")) for part in parts)
        merges.append((left, right))
    return merges


def _read_pattern(pre_tokenizer: JsonObject) -> str:
    """Return the pattern of ``ByteLevel``, or of ``Split`` and then ``ByteLevel``."""
    steps = [pre_tokenizer]
    if pre_tokenizer.get("type") == "Sequence":
        steps = expect(pre_tokenizer.get("pretokenizers"), list, "pre_tokenizer.pretokenizers")
        steps = [expect(step, dict, "a step of pre_tokenizer") for step in steps]
    kinds = [step.get("type") for step in steps]
    if kinds not in (["ByteLevel"], ["Split", "ByteLevel"]):
        raise TokenizerError(
            f"pre_tokenizer is {shorten(kinds)}; ByteLevel, or Split and ByteLevel, are supported"
        )
    require(steps[-1].get("add_prefix_space"), (False,), "add_prefix_space")
    require(steps[-1].get("use_regex", True), (len(steps) == 1,), "use_regex of ByteLevel")
    if len(steps) == 1:
        return "gpt2"
    source = pattern_of_split(steps[0], "Isolated", False)
    names = {text: name for name, text in PATTERNS.items()}
    return names.get(source, source)


def is_token_text(name: str, tokens: Container[bytes]) -> bool:
    """Return whether files would write one of ``tokens`` exactly as ``name``."""
    try:
        return byte_alphabet.from_text(name) in tokens
    except KeyError:
        return False


def token_from_text(text: str) -> bytes:
    """Return the bytes of a token as files write it.

    Raises:
        TokenizerError: a character that stands for no byte.
    """
    try:
        return byte_alphabet.from_text(text)
    except KeyError as error:
        raise TokenizerError(
            f"token {shorten(text)} has {error.args[0]!r}, which stands for no byte; "
            "only byte-level BPE is supported"
        ) from None
