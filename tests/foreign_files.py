"""Other people's files with every key changed: followed as others do, or refused by name.

By hand, with the peers (`tests/test_foreign_files.py` holds the goldens that it writes)::

    uv run --group peers python -m tests.foreign_files [FOLDER ...] [--write]

Eight kinds of ``tokenizer.json``, cut down to a small vocabulary, and each key of them set to every
plausible value. The layouts are those of GPT-2, GPT-3.5, GPT-4o, gpt-oss, Llama 3, Llama 3.1,
Qwen 3 and DeepSeek V3; FOLDERs with ``tokenizer.json`` files are cut down alike and join in.
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_explainer.errors import LLMExplainerError, LLMExplainerWarning
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.loading import _kind
from tests.foreign_layouts import added, byte_level, cut_down, sequence_of, tokenizer_files

GOLDEN = Path(__file__).parent / "golden" / "foreign_files.json"
TEXTS = [
    "It's 12345 o'clock; WE'LL see the\r\n\r\n  naïve  ﬁsh² 汉字かな  \t end \n",
    "<|endoftext|>the<|fim|> <|fim|>x",
    "don't!!! /usr/bin  \n\n {a-b}~z É É ſ 'S",
]
_SPECIAL_VALUES: dict[str, list[Any]] = {
    "behavior": ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"],
    "type": ["ByteLevel", "Digits", "Whitespace", "NFC", "BPE", "WordPiece", "Sequence"],
    "Regex": [
        r"\h+|[^\h]+",
        r"[\w&&[^a-c]]+|[\s\S]",
        r"\w+|\W",
        r"the$|[\s\S]",
        r"^the|[\s\S]",
        "[[:alpha:]]+|[^a]",
        "a|b",
        r"(?i:ss)|[\s\S]",
        r"\R|[\s\S]",
        r"\p{L}+",
        ".",
        r"(?<=t)h|[\s\S]",
        r"[\s\S]+?",
        r"[a-z]{2}+|[\s\S]",
        r"(?=h)|t",
        r"\d{1,3}(?=(?:\d{3})*\b)|\D",
    ],
    "normalizer": [{"type": "NFC"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "▁"}],
    "truncation": [
        {"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}
    ],
    "padding": [
        {
            "strategy": {"Fixed": 40},
            "direction": "Right",
            "pad_to_multiple_of": None,
            "pad_id": 0,
            "pad_type_id": 0,
            "pad_token": "<|endoftext|>",
        }
    ],
    "post_processor": [
        {"type": "Sequence", "processors": []},
        {
            "type": "RobertaProcessing",
            "sep": ["<|endoftext|>", 0],
            "cls": ["<|endoftext|>", 0],
            "trim_offsets": True,
            "add_prefix_space": False,
        },
    ],
    "single": [[sequence_of("A")], [sequence_of("B")], [sequence_of("A"), sequence_of("A")]],
    "merges": [["t h"], ["t h", "h e", "t h"], [], ["t zzz"], [["t", "h"]]],
    "vocab": [{}],
    "added_tokens": [[], [added("the", 9)], [added("<|end", 9), added("<|endoftext|>", 0)]],
    "decoder": [{"type": "Fuse"}, {"type": "Sequence", "decoders": [byte_level()]}],
}


def variants(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (what was changed, the document) for every key and plausible value."""
    for path, value in _leaves(document):
        for other in _others(path[-1], value):
            changed = copy.deepcopy(document)
            place = changed
            for key in path[:-1]:
                place = place[key]
            if other is ...:
                del place[path[-1]]
            else:
                place[path[-1]] = other
            yield f"{'.'.join(map(str, path))} = {other!r}", changed
    for path in [(), ("model",), ("pre_tokenizer",), ("decoder",), ("added_tokens", 0)]:
        changed = copy.deepcopy(document)
        place = changed
        for key in path:
            place = place[key]
        place["surprise"] = True
        yield f"{'.'.join(map(str, path))}.surprise = True", changed


def _leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if path:
        yield path, value
    if path[-1:] in [("vocab",), ("merges",)]:
        return
    if isinstance(value, (dict, list)):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(inner, (*path, key))


def _others(key: Any, value: Any) -> list[Any]:
    usual: list[Any] = [None, ...]
    if isinstance(value, bool):
        usual += [not value, int(value), str(value)]
    elif isinstance(value, (int, float)):
        usual += [value + 1, value - 1, 0, 1, 300, -1, float(value), str(value), True, 0.5]
    elif isinstance(value, str):
        usual += ["", value + "x", 1]
    elif value is None:
        usual += [False, 0, 0.0, 0.5, "", "x", {}, []]
    else:
        usual += [{}, [], "x"]
    found = usual + _SPECIAL_VALUES.get(key, [])
    return [
        other for other in found if other is ... or (other, type(other)) != (value, type(value))
    ]


def ours(document: dict[str, Any]) -> list[Any] | str:
    """Return ids and texts, or the message with which the file is refused or warned of."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", LLMExplainerWarning)
            tokenizer = _kind(document).from_json(document)
        assert isinstance(tokenizer, BPETokenizer)
        results: list[Any] = []
        for text in TEXTS:
            ids = tokenizer.encode(text)
            results.append([[*tokenizer.prefix, *ids], tokenizer.decode(ids)])
        return results
    except (LLMExplainerError, LLMExplainerWarning) as error:
        return str(error)


def theirs(document: dict[str, Any]) -> list[Any] | str:
    """Return the same of Hugging Face's tokenizers."""
    from tokenizers import Tokenizer  # type: ignore[import-not-found]

    try:
        peer = Tokenizer.from_str(json.dumps(document))
        results: list[Any] = []
        for text in TEXTS:
            ids = peer.encode(text, add_special_tokens=False).ids
            decoded = peer.decode(ids, skip_special_tokens=False)
            results.append([peer.encode(text).ids, decoded])
        return results
    except BaseException as error:  # the bindings panic, too
        return f"{type(error).__name__}: {error}"


def run(folders: list[str], write: bool) -> int:
    """Compare all variants; return how many were read over."""
    files = tokenizer_files()
    for folder in folders:
        for path in sorted(Path(folder).rglob("tokenizer.json")):
            files[str(path)] = cut_down(path)
    n = {"equal": 0, "refused": 0, "refused by both": 0, "taken here alone": 0, "OTHER": 0}
    goldens: dict[str, Any] = {}
    for name, document in files.items():
        for change, variant in [("", document), *variants(document)]:
            mine, peers = ours(variant), theirs(variant)
            if isinstance(mine, str):
                kind = "refused by both" if isinstance(peers, str) else "refused"
            elif isinstance(peers, str):
                kind = "taken here alone"
            else:
                kind = "equal" if mine == peers else "OTHER"
            n[kind] += 1
            if kind in ("OTHER", "taken here alone"):
                why = peers if isinstance(peers, str) else ""
                sys.stdout.write(f"{kind}: {name}: {change}: {why}"[:200] + "\n")
            if not change or kind == "equal":
                goldens.setdefault(name, {})[change] = mine
    sys.stdout.write(f"{sum(n.values())} variants of tokenizer.json: {n}\n")
    if write:
        kept = {
            name: {k: v for i, (k, v) in enumerate(sorted(found.items())) if not k or i % 4 == 0}
            for name, found in goldens.items()
            if "/" not in name
        }
        GOLDEN.write_text(json.dumps(kept, ensure_ascii=False) + "\n", encoding="utf-8")
    return n["OTHER"]


if __name__ == "__main__":
    given = [argument for argument in sys.argv[1:] if argument != "--write"]
    sys.exit(bool(run(given, "--write" in sys.argv)))
