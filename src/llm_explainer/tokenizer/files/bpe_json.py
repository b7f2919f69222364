"""What byte-level BPE puts into a ``tokenizer.json``, and what it reads from one."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.oniguruma import as_read, as_written
from llm_explainer.tokenizer.files.post_processor import prefix_to_json, read_prefix
from llm_explainer.tokenizer.files.tokenizer_json import (
    TOP_LEVEL_KEYS,
    JsonObject,
    check_byte_level,
    expect,
    ordinary_tokens,
    pattern_of_split,
    read_special_tokens,
    read_vocab,
    refuse_other_keys,
    require,
    split_by,
    steps_of,
    to_bytes,
)
from llm_explainer.tokenizer.readable import byte_alphabet
from llm_explainer.tokenizer.readable.patterns import PATTERNS

Merge = tuple[bytes, bytes]

_AFFIXES = ("continuing_subword_prefix", "end_of_word_suffix")


@dataclass(frozen=True)
class BPEParts:
    """What a byte-level BPE tokenizer consists of; see ``BPETokenizer``."""

    vocab: dict[int, bytes]  # without the special tokens
    merges: list[Merge]
    special_tokens: dict[str, int]
    pattern: str
    ignore_merges: bool = False
    keeps_gaps: bool = True  # what the pattern leaves out is a word too, and not refused
    prefix: tuple[int, ...] = ()  # ids that go before a text


def bpe_to_json(parts: BPEParts) -> bytes:
    """Return the content of a ``tokenizer.json``."""
    texts = {byte_alphabet.to_text(token): token_id for token_id, token in parts.vocab.items()}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    pre_tokenizer: JsonObject = {**byte_level, "use_regex": True}  # GPT-2's pattern is built in
    if parts.pattern != "gpt2":
        source = PATTERNS.get(parts.pattern) or as_written(parts.pattern)
        split = split_by(source, *(("Isolated", False) if parts.keeps_gaps else ("Removed", True)))
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
        post_processor=prefix_to_json(parts.prefix, parts.special_tokens),
    )


def bpe_from_json(content: JsonObject) -> BPEParts:
    """Read a ``tokenizer.json`` of the byte-level BPE kind, of whatever origin.

    Raises:
        TokenizerError: another kind, settings that would change the ids, or damage.
    """
    refuse_other_keys(content, TOP_LEVEL_KEYS, "tokenizer.json")
    require(content.get("version", "1.0"), ("1.0",), "version")
    for part in ("truncation", "padding"):
        require(content.get(part), (None,), part)
    if steps_of(content.get("normalizer"), "normalizer"):
        require(content["normalizer"], (None,), "normalizer")
    special_tokens = read_special_tokens(content)
    model = expect(content.get("model"), dict, "model")
    _check_model(model)
    _check_decoder(steps_of(content.get("decoder"), "decoder"))
    vocab = ordinary_tokens(read_vocab(model), special_tokens)
    pattern, keeps_gaps = _read_pattern(steps_of(content.get("pre_tokenizer"), "pre_tokenizer"))
    return BPEParts(
        {token_id: token_from_text(text) for token_id, text in vocab.items()},
        read_merges(expect(model.get("merges"), list, "model.merges")),
        special_tokens,
        pattern,
        model.get("ignore_merges", False),
        keeps_gaps,
        read_prefix(steps_of(content.get("post_processor"), "post_processor"), special_tokens),
    )


def _check_model(model: JsonObject) -> None:
    """Refuse settings that change ids; of an unknown character there is none, so those are free."""
    require(model.get("type", "BPE"), ("BPE",), "model.type")
    free = ("fuse_unk", "byte_fallback", "unk_token")
    if model.get("unk_token") is not None:
        expect(model["unk_token"], str, "model.unk_token")
    for key in model:
        if key not in ("type", "vocab", "merges", "ignore_merges", "dropout", *_AFFIXES, *free):
            raise TokenizerError(f"model has the key {shorten(key)}, which is not known here")
    for key in ("ignore_merges", *free[:2]):
        require(model.get(key, False), (False, True), f"model.{key}")
    require(model.get("dropout"), (None, 0.0, 0), "model.dropout")
    for key in _AFFIXES:
        require(model.get(key), (None, ""), f"model.{key}")


def _check_decoder(steps: list[JsonObject]) -> None:
    """Refuse what does not make text of bytes; ByteLevel's settings make no difference there."""
    if [step.get("type") for step in steps] != ["ByteLevel"]:
        raise TokenizerError(f"decoder is {shorten(steps or None)}; only ByteLevel is supported")
    check_byte_level(steps[0])


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


def _read_pattern(steps: list[JsonObject]) -> tuple[str, bool]:
    """Return the pattern of ``ByteLevel``, or of ``Split`` and then ``ByteLevel``.

    And whether what it leaves out is a word of its own.
    """
    kinds = [step.get("type") for step in steps]
    if kinds not in (["ByteLevel"], ["Split", "ByteLevel"]):
        raise TokenizerError(
            f"pre_tokenizer is {shorten(kinds or None)}; ByteLevel, or Split and ByteLevel, are "
            "supported"
        )
    require(steps[-1].get("add_prefix_space"), (False,), "add_prefix_space")
    check_byte_level(steps[-1])
    require(steps[-1].get("use_regex", True), (len(steps) == 1,), "use_regex of ByteLevel")
    if len(steps) == 1:
        return "gpt2", True
    keeps_gaps = steps[0].get("behavior") != "Removed"  # with it, gaps would be lost: refused later
    source = pattern_of_split(steps[0], "Isolated" if keeps_gaps else "Removed", not keeps_gaps)
    names = {text: name for name, text in PATTERNS.items()}
    return names.get(source) or as_read(source), keeps_gaps


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
