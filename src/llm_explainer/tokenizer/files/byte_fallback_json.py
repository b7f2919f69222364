"""What SentencePiece's BPE with byte fallback puts into a ``tokenizer.json``: Llama 2's, Mistral's.

Tokens are text, in which ``▁`` is a space, and 256 of them are bytes: ``<0x0A>`` is a line feed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from llm_explainer.errors import TokenizerError
from llm_explainer.tokenizer.checks import check_text, shorten
from llm_explainer.tokenizer.files.added_tokens import (
    added_tokens_to_json,
    read_added_tokens,
    warn_of_holes,
)
from llm_explainer.tokenizer.files.bpe_json import (
    Merge,
    check_frame,
    check_model,
    model_to_json,
    read_merges,
)
from llm_explainer.tokenizer.files.post_processor import prefix_to_json, read_prefix
from llm_explainer.tokenizer.files.tokenizer_json import (
    JsonObject,
    expect,
    ordinary_tokens,
    read_vocab,
    require,
    steps_of,
    to_bytes,
)
from llm_explainer.tokenizer.readable.dressing import SPACE_SIGN, Spaces
from llm_explainer.tokenizer.readable.special_tokens import TokenFlags

_BYTE_TOKEN = re.compile("<0x([0-9A-F]{2})>")
_MARK = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE_SIGN}
_PREPEND = {"type": "Prepend", "prepend": SPACE_SIGN}
_UNMARK = [
    {"type": "Replace", "pattern": {"String": SPACE_SIGN}, "content": " "},
    {"type": "ByteFallback"},
    {"type": "Fuse"},
]
_STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
_CUTS_NOTHING = {  # Gemma's: no space is left for it
    "type": "Split",
    "pattern": {"String": " "},
    "behavior": "MergedWithPrevious",
    "invert": False,
}


@dataclass(frozen=True)
class ByteFallbackParts:
    """What such a tokenizer consists of; see ``ByteFallbackTokenizer``."""

    vocab: dict[int, bytes]  # of text, without the special tokens
    byte_ids: Sequence[int]  # (256,)
    merges: list[Merge]
    special_tokens: dict[str, int]
    spaces: Spaces
    cuts_at_spaces: bool = False
    strips: bool = True  # the space that a decoded text begins with
    prefix: tuple[int, ...] = ()
    flags: dict[str, TokenFlags] | None = None
    unknown: str | None = None  # never used, since every byte has a token; kept for the file


def is_byte_fallback(content: JsonObject) -> bool:
    """Return whether a file is of this kind; what it holds is checked when it is read."""
    try:
        steps = steps_of(content.get("decoder"), "decoder")
    except TokenizerError:
        return False
    return any(step.get("type") == "ByteFallback" for step in steps)


def byte_fallback_to_json(parts: ByteFallbackParts) -> bytes:
    """Return the content of a ``tokenizer.json``."""
    vocab = {_to_text(token): token_id for token_id, token in parts.vocab.items()}
    vocab |= {f"<0x{byte:02X}>": token_id for byte, token_id in enumerate(parts.byte_ids)}
    vocab = dict(sorted((vocab | parts.special_tokens).items(), key=lambda item: item[1]))
    merges = [[_to_text(part) for part in merge] for merge in parts.merges]
    marks = {"prepend": [_PREPEND, _MARK], "replace": [_MARK]}.get(parts.spaces)
    metaspace = {
        "type": "Metaspace",
        "replacement": SPACE_SIGN,
        "prepend_scheme": parts.spaces,
        "split": parts.cuts_at_spaces,
    }
    return to_bytes(
        model=model_to_json(vocab, merges, byte_fallback=True, unk_token=parts.unknown),
        normalizer={"type": "Sequence", "normalizers": marks} if marks else None,
        pre_tokenizer=None if marks else metaspace,
        decoder={"type": "Sequence", "decoders": [*_UNMARK, *([_STRIP] if parts.strips else [])]},
        added_tokens=added_tokens_to_json(parts.special_tokens, parts.flags or {}),
        post_processor=prefix_to_json(parts.prefix, parts.special_tokens),
    )


def byte_fallback_from_json(content: JsonObject) -> ByteFallbackParts:
    """Read a ``tokenizer.json`` of this kind.

    Raises:
        TokenizerError: another kind, settings that would change the ids, or damage.
    """
    check_frame(content)
    special_tokens, flags = read_added_tokens(content)
    for name in special_tokens:
        if SPACE_SIGN in name or _BYTE_TOKEN.fullmatch(name):
            raise TokenizerError(f"the added token {shorten(name)} would be decoded as other text")
    model = expect(content.get("model"), dict, "model")
    check_model(model)
    require(model.get("byte_fallback"), (True,), "model.byte_fallback")
    require(model.get("ignore_merges", False), (False,), "model.ignore_merges of byte fallback")
    check_text(model.get("unk_token") or "")
    whole_vocab = read_vocab(model)
    warn_of_holes(content, whole_vocab)
    vocab, byte_ids = _read_tokens(ordinary_tokens(whole_vocab, special_tokens))
    spaces, cuts = _read_spaces(
        steps_of(content.get("normalizer"), "normalizer"),
        steps_of(content.get("pre_tokenizer"), "pre_tokenizer"),
    )
    return ByteFallbackParts(
        vocab,
        byte_ids,
        read_merges(expect(model.get("merges"), list, "model.merges"), _from_text),
        special_tokens,
        spaces,
        cuts,
        _strips(steps_of(content.get("decoder"), "decoder")),
        read_prefix(steps_of(content.get("post_processor"), "post_processor"), special_tokens),
        flags,
        model.get("unk_token"),
    )


def _read_tokens(tokens: dict[int, str]) -> tuple[dict[int, bytes], list[int]]:
    """Return the text of ordinary ids, and the ids of the 256 bytes."""
    vocab: dict[int, bytes] = {}
    byte_ids: dict[int, int] = {}
    for token_id, token in tokens.items():
        if found := _BYTE_TOKEN.fullmatch(token):
            byte_ids[int(found[1], 16)] = token_id
        else:
            vocab[token_id] = _from_text(token)
    for byte in range(256):
        if byte not in byte_ids:
            raise TokenizerError(f"token <0x{byte:02X}> is missing; byte fallback needs all 256")
    return vocab, [byte_ids[byte] for byte in range(256)]


def _read_spaces(normalizer: list[JsonObject], cutting: list[JsonObject]) -> tuple[Spaces, bool]:
    """Return what becomes of spaces, and whether words are cut at each of them."""
    if normalizer:
        if cutting not in ([], [_CUTS_NOTHING]):
            _refuse("pre_tokenizer", cutting)
        if normalizer == [_PREPEND, _MARK]:
            return "prepend", False
        if normalizer == [_MARK]:
            return "replace", False
        _refuse("normalizer", normalizer)
    known = {"type", "replacement", "prepend_scheme", "split"}
    if len(cutting) != 1 or cutting[0].keys() != known or cutting[0]["type"] != "Metaspace":
        _refuse("pre_tokenizer", cutting)
    step = cutting[0]
    require(step["replacement"], (SPACE_SIGN,), "replacement of Metaspace")
    require(step["prepend_scheme"], ("always", "first", "never"), "prepend_scheme of Metaspace")
    require(step["split"], (False, True), "split of Metaspace")
    scheme: Spaces = step["prepend_scheme"]
    return scheme, step["split"]


def _strips(decoder: list[JsonObject]) -> bool:
    """Return whether a decoded text loses the space that it begins with."""
    if decoder not in (_UNMARK, [*_UNMARK, _STRIP]):
        _refuse("decoder", decoder)
    return decoder[-1] == _STRIP


def _refuse(part: str, steps: list[Any]) -> NoReturn:
    raise TokenizerError(
        f"{part} is {shorten(steps or None)}, which is not followed for byte fallback"
    )


def _from_text(text: str) -> bytes:
    check_text(text)
    if " " in text:
        raise TokenizerError(f"token {shorten(text)} has a space, for which {SPACE_SIGN} stands")
    return text.replace(SPACE_SIGN, " ").encode()


def _to_text(token: bytes) -> str:
    return token.decode().replace(" ", SPACE_SIGN)
