"""Other people's files with every key changed: followed as others do, or refused by name.

By hand, with the peers (`tests/test_foreign_files.py` holds the goldens that it writes)::

    uv run --with tokenizers python -m tests.foreign_files [FOLDER ...] [--write]

Eight kinds of ``tokenizer.json``, cut down to a small vocabulary, and each key of them set to every
plausible value. The layouts are those of GPT-2, GPT-3.5, GPT-4o, gpt-oss, Llama 3, Llama 3.1,
Qwen 3 and DeepSeek V3; FOLDERs with ``tokenizer.json`` files are cut down alike and join in.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_explainer.errors import LLMExplainerError
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.loading import _kind
from llm_explainer.tokenizer.readable import byte_alphabet

GOLDEN = Path(__file__).parent / "golden" / "foreign_files.json"
TEXTS = [
    "It's 12345 o'clock; WE'LL see the\r\n\r\n  naïve  ﬁsh² 汉字かな  \t end \n",
    "<|endoftext|>the<|fim|> <|fim|>x",
    "don't!!! /usr/bin  \n\n {a-b}~z É É ſ 'S",
]
_WORDS = ("the", "he", "in", "at", "on", "er", "12", "123", "''", "!!", "ll", "'re", "ing", "and")

_SPLITS = {
    "cl100k": (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "o200k": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
}
_SPLITS["qwen"] = _SPLITS["cl100k"].replace(r"\p{N}{1,3}", r"\p{N}")
_DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?"
    "[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]


def tokenizer_files() -> dict[str, dict[str, Any]]:
    """Return a small file of each layout."""
    split = _split
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|endoftext|>", "type_id": 0}}, _sequence("A")],
        "pair": [_sequence("A"), _sequence("B")],
        "special_tokens": {
            "<|endoftext|>": {"id": "<|endoftext|>", "ids": [0], "tokens": ["<|endoftext|>"]}
        },
    }
    sequence = {"type": "Sequence", "processors": [_byte_level(), template]}
    cl100k, o200k, qwen = (_SPLITS[name] for name in ("cl100k", "o200k", "qwen"))
    files = {
        "gpt2": _file(_byte_level(use_regex=True)),
        "gpt-3.5": _file(split([cl100k], "Removed"), holes=16, continuing_subword_prefix=""),
        "gpt-4o": _file(split([o200k], "Removed"), holes=19, end_of_word_suffix=""),
        "gpt-oss": _file(split([o200k]), post=_byte_level(), ignore_merges=True),
        "llama 3": _file(split([cl100k]), post=_byte_level(), ignore_merges=True),
        "llama 3.1": _file(split([cl100k]), post=sequence, ignore_merges=True),
        "qwen 3": _file(split([qwen]), normalizer={"type": "NFC"}, post=_byte_level()),
        "deepseek v3": _file(split(_DEEPSEEK), normalizer=_no_normalizer(), later=True),
    }
    for name in ("qwen 3", "deepseek v3"):  # the same without what is refused
        plain = copy.deepcopy(files[name])
        plain["normalizer"] = _no_normalizer()
        steps = plain["pre_tokenizer"]["pretokenizers"]
        plain["pre_tokenizer"]["pretokenizers"] = steps[-2:]
        files[f"{name}, plain"] = plain
    return files


def _sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}


def _no_normalizer() -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": []}


def _byte_level(**changes: Any) -> dict[str, Any]:
    step = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {**step, "use_regex": False, **changes}


def _split(patterns: list[str], behavior: str = "Isolated") -> dict[str, Any]:
    steps: list[dict[str, Any]] = [
        {
            "type": "Split",
            "pattern": {"Regex": pattern},
            "behavior": behavior,
            "invert": behavior == "Removed",
        }
        for pattern in patterns
    ]
    return {"type": "Sequence", "pretokenizers": [*steps, _byte_level()]}


def _file(
    pre_tokenizer: dict[str, Any],
    normalizer: Any = None,
    post: Any = None,
    holes: int = 0,
    later: bool = False,
    **model: Any,
) -> dict[str, Any]:
    """Return a file with the bytes, a few merges, and two added tokens, one after a hole."""
    vocab = {"<|endoftext|>": 0}
    for byte in range(256):
        vocab[byte_alphabet.to_text(bytes([byte]))] = 1 + byte
    merges = []
    for word in _WORDS:
        made = word[0]
        for character in word[1:]:
            if made + character not in vocab:
                vocab[made + character] = len(vocab)
                merges.append(f"{made} {character}")
            made += character
    last = len(vocab) + holes
    vocab["<|fim|>"] = last
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [_added("<|endoftext|>", 0), _added("<|fim|>", last, normalized=later)],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": post,
        "decoder": _byte_level(add_prefix_space=True, use_regex=True),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            **model,
            "vocab": vocab,
            "merges": merges,
        },
    }


def _added(name: str, token_id: int, **changes: Any) -> dict[str, Any]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": token_id, "content": name, **flags, "special": True, **changes}


def cut_down(path: Path) -> dict[str, Any]:
    """Return a real file with the settings that it has, and our small vocabulary."""
    document = json.loads(path.read_text(encoding="utf-8"))
    small = _file(document["pre_tokenizer"], document["normalizer"])
    model = {k: v for k, v in document["model"].items() if k not in ("vocab", "merges")}
    small["model"] = {**model, **{k: small["model"][k] for k in ("vocab", "merges")}}
    small["decoder"] = document["decoder"]
    return small


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
    "single": [[_sequence("A")], [_sequence("B")], [_sequence("A"), _sequence("A")]],
    "merges": [["t h"], ["t h", "h e", "t h"], [], ["t zzz"], [["t", "h"]]],
    "vocab": [{}],
    "added_tokens": [[], [_added("the", 9)], [_added("<|end", 9), _added("<|endoftext|>", 0)]],
    "decoder": [{"type": "Fuse"}, {"type": "Sequence", "decoders": [_byte_level()]}],
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
    """Return ids and texts, or the message with which the file is refused."""
    try:
        tokenizer = _kind(document).from_json(document)
        assert isinstance(tokenizer, BPETokenizer)
        results: list[Any] = []
        for text in TEXTS:
            ids = tokenizer.encode(text)
            results.append([[*tokenizer.prefix, *ids], tokenizer.decode(ids)])
        return results
    except LLMExplainerError as error:
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
