"""What byte-level BPE puts into a ``tokenizer.json``, and what it reads from one."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import shorten
from llm_explainer.tokenizer.files.added_tokens import (
    added_tokens_to_json,
    read_added_tokens,
    warn_of_holes,
)
from llm_explainer.tokenizer.files.post_processor import prefix_to_json, read_prefix
from llm_explainer.tokenizer.files.pre_tokenizers import pattern_to_json, read_pattern
from llm_explainer.tokenizer.files.tokenizer_json import (
    TOP_LEVEL_KEYS,
    JsonObject,
    check_byte_level,
    expect,
    ordinary_tokens,
    read_vocab,
    refuse_other_keys,
    require,
    steps_of,
    to_bytes,
)
from llm_explainer.tokenizer.readable import byte_alphabet
from llm_explainer.tokenizer.readable.normalization import nfc
from llm_explainer.tokenizer.readable.special_tokens import TokenFlags

Merge = tuple[bytes, bytes]

_DECODER = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_AFFIXES = ("continuing_subword_prefix", "end_of_word_suffix")


@dataclass(frozen=True)
class BPEParts:
    """What a byte-level BPE tokenizer consists of; see ``BPETokenizer``."""

    vocab: dict[int, bytes]  # without the special tokens
    merges: list[Merge]
    special_tokens: dict[str, int]
    pattern: str | Sequence[str]
    ignore_merges: bool = False
    keeps_gaps: bool = True  # what the pattern leaves out is a word too, and not refused
    prefix: tuple[int, ...] = ()  # ids that go before a text
    flags: Mapping[str, TokenFlags] | None = None
    composes: bool = False  # text, to NFC
    lacks_bytes: bool = False


def bpe_to_json(parts: BPEParts) -> bytes:
    """Return the content of a ``tokenizer.json``."""
    texts = {byte_alphabet.to_text(token): token_id for token_id, token in parts.vocab.items()}
    merges = [[byte_alphabet.to_text(part) for part in merge] for merge in parts.merges]
    vocab = {**texts, **parts.special_tokens}
    return to_bytes(
        model=model_to_json(vocab, merges, ignore_merges=parts.ignore_merges),
        normalizer={"type": "NFC"} if parts.composes else None,
        pre_tokenizer=pattern_to_json(parts.pattern, parts.keeps_gaps),
        decoder=_DECODER,
        added_tokens=added_tokens_to_json(parts.special_tokens, parts.flags or {}),
        post_processor=prefix_to_json(parts.prefix, parts.special_tokens),
    )


def model_to_json(vocab: JsonObject, merges: list[list[str]], **settings: Any) -> JsonObject:
    """Return the model of a file."""
    usual = {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    }
    return {**usual, **settings, "vocab": vocab, "merges": merges}


def bpe_from_json(content: JsonObject) -> BPEParts:
    """Read a ``tokenizer.json`` of the byte-level BPE kind, of whatever origin.

    Raises:
        TokenizerError: another kind, settings that would change the ids, or damage.
    """
    check_frame(content)
    special_tokens, flags = read_added_tokens(content)
    for name in special_tokens:
        if any(not text.isascii() and is_token_text(text) for text in (name, nfc(name))):
            raise TokenizerError(
                f"the added token {shorten(name)} is spelled as bytes are, and would be decoded so"
            )
    model = expect(content.get("model"), dict, "model")
    check_model(model)
    _check_decoder(steps_of(content.get("decoder"), "decoder"))
    whole_vocab = read_vocab(model)
    texts = ordinary_tokens(whole_vocab, special_tokens)
    warn_of_holes(content, whole_vocab)
    vocab = {token_id: token_from_text(text) for token_id, text in texts.items()}
    pattern, keeps_gaps = read_pattern(steps_of(content.get("pre_tokenizer"), "pre_tokenizer"))
    return BPEParts(
        vocab,
        read_merges(expect(model.get("merges"), list, "model.merges")),
        special_tokens,
        pattern,
        model.get("ignore_merges", False),
        keeps_gaps,
        read_prefix(steps_of(content.get("post_processor"), "post_processor"), special_tokens),
        flags,
        _composes(steps_of(content.get("normalizer"), "normalizer")),
        _lacks_bytes(model),
    )


def check_frame(content: JsonObject) -> None:
    """Refuse keys around the parts that no file has, and settings that change ids.

    Raises:
        TokenizerError: names the first.
    """
    refuse_other_keys(content, TOP_LEVEL_KEYS, "tokenizer.json")
    require(content.get("version", "1.0"), ("1.0",), "version")
    for part in ("truncation", "padding"):
        require(content.get(part), (None,), part)


def _composes(steps: list[JsonObject]) -> bool:
    """Return whether a normalizer is NFC; twice is as good as once."""
    for step in steps:
        require(step.get("type"), ("NFC",), "type of normalizer")
        refuse_other_keys(step, ("type",), "NFC")
    return bool(steps)


def _lacks_bytes(model: JsonObject) -> bool:
    """Return whether others leave out bytes without a token; with these settings they do not."""
    others = (model.get("unk_token"), model.get("byte_fallback"), model.get("ignore_merges"))
    return not any(others)


def check_model(model: JsonObject) -> None:
    """Refuse settings that change ids; what is about unknown characters is for others to judge.

    Raises:
        TokenizerError: names the first.
    """
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


def read_merges(
    entries: Iterable[object], read_token: Callable[[str], bytes] | None = None
) -> list[Merge]:
    """Read ``["Ġ", "the"]``, or ``"Ġ the"`` as it was written before 2024.

    Args:
        entries: of a list, or lines of a file.
        read_token: makes bytes of a token's text; the byte alphabet does, if nothing is given.

    Raises:
        TokenizerError: what is no pair of tokens.
    """
    read, merges = read_token or token_from_text, []
    for entry in entries:
        parts = entry.split(" ") if isinstance(entry, str) else entry
        if not isinstance(parts, list) or len(parts) != 2:
            raise TokenizerError(f"merge {shorten(entry)} is not a pair of tokens")
        left, right = (expect(part, str, "a part of a merge") for part in parts)
        merges.append((read(left), read(right)))
    return merges


def is_token_text(name: str, tokens: Container[bytes] | None = None) -> bool:
    """Return whether files would write bytes, or one of ``tokens``, exactly as ``name``."""
    try:
        token = byte_alphabet.from_text(name)
    except KeyError:
        return False
    return tokens is None or token in tokens


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
