"""Ids beside Hugging Face's tokenizers on fuzzed strings, real tokenizers among them; by hand.

::

    uv run --with tokenizers,gguf python -m tests.tokenizer_campaign FILE ... [--strings 100000]

A FILE is a ``tokenizer.json``, or a GGUF of SmolLM2's kind, whose file is written from its tokens
and merges. Small tokenizers that are trained here with ``tokenizers`` join in: byte fallback in
each of its forms, and added tokens with all flags. All strings go through one call, and every
fourth through a stream, through files that are saved again and through decoding. With
LLM_EXPLAINER_NO_CORE=1 it is NumPy that is compared.

Characters are those that this Python's Unicode has, if it is 14: of later ones the two may differ
in what a letter is (a split pattern of ``tokenizers`` 0.23 follows Unicode 14 or so).
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from llm_explainer.errors import LLMExplainerWarning
from llm_explainer.tokenizer import core
from llm_explainer.tokenizer.loading import tokenizer_from_json
from tests.tokenizer_layouts import TEXTS, layouts, smollm_file, trained_model

GOLDEN = Path(__file__).parent / "golden" / "tokenizers.json"
TRICKY = "ab'sdmtlver'STLLVR \n\r\t.!?,—12345٣é中🙂ſ\u0301\u00a0\u2028\u3000\x1c\x85▁_\u00c5\u212b"


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def characters() -> str:
    """Return the characters that Python's Unicode has a name or a use for."""
    import unicodedata

    codes = (code for code in range(0x110000) if not 0xD800 <= code < 0xE000)
    return "".join(chr(code) for code in codes if unicodedata.category(chr(code)) != "Cn")


def fuzzed(rng: random.Random, every: str, names: Sequence[str], words: Sequence[str]) -> str:
    """Return a string of up to a hundred characters of one kind or all kinds."""
    pieces: list[str] = []
    for _ in range(rng.randint(1, 6)):
        kind = rng.randrange(8)
        n = rng.randint(1, 16)
        if kind == 0:
            pieces += rng.choices(TRICKY, k=n)
        elif kind == 1:
            pieces += rng.choices("'slLre \na1", k=n)
        elif kind == 2:
            pieces += rng.choices(" \n\r\t\u3000!a1'", k=n)
        elif kind == 3:
            pieces += rng.choices(every, k=n)
        elif kind == 4:
            start = rng.randrange(len(every) - 40)
            pieces += rng.choices(every[start : start + 40], k=n)
        elif kind == 5 and names:
            name = rng.choice(names)
            cut = rng.randint(1, len(name)) if rng.random() < 0.3 else len(name)
            pieces += [rng.choice(["", " ", "  ", "a", "_", "é"]), name[:cut], rng.choice(" \na")]
        elif kind == 6:
            pieces += (f" {rng.choice(words)}" for _ in range(3))
        else:
            pieces += rng.choices("aàe\u0301\u0316\u0334o\u0308が\u3099ᄀ\u1161\u11a8q", k=n)
    return "".join(pieces)


def compare(name: str, document: dict[str, Any], n_strings: int, seed: int) -> int:
    """Compare ids of fuzzed strings; print the first differences, return how many there were."""
    from tokenizers import Tokenizer  # type: ignore[import-not-found]

    start = time.perf_counter()
    ours, peer = tokenizer_from_json(document), Tokenizer.from_str(json.dumps(document))
    seconds = time.perf_counter() - start
    again = tokenizer_from_json(json.loads(ours.to_json()))
    theirs_again = Tokenizer.from_str(ours.to_json().decode())
    rng, every = random.Random(seed), characters()
    names = list(ours.special_tokens)
    words = [
        w
        for t in random.Random(1).sample(list(ours.vocab.values()), 200)
        if (w := t.decode(errors="ignore"))
    ] or ["a"]
    n_bad = 0
    for number in range(n_strings):
        text = fuzzed(rng, every, names, words)
        expected = peer.encode(text, add_special_tokens=False).ids
        found = {"call": ours.encode(text)}
        if number % 4 == 0:
            cut = rng.randint(0, len(text))
            found["stream"] = list(ours.encode_iterable([text[:cut], text[cut:]]))
            found["saved"] = again.encode(text)
            found["saved, theirs"] = theirs_again.encode(text, add_special_tokens=False).ids
            decoder = ours.stream_decoder()
            streamed = "".join(map(decoder.push, expected)) + decoder.finish()
            if streamed != ours.decode(expected):
                found["streamed"] = []
            if streamed != peer.decode(expected, skip_special_tokens=False):
                found["decoded"] = []
        bad = [way for way, ids in found.items() if ids != expected]
        if bad:
            n_bad += 1
            if n_bad <= 5:
                say(f"{name} {bad}\n   {text!r}\n   {found['call']}\n   {expected}")
    say(f"{name}: {n_strings:,} strings, {n_bad} differ (both read in {seconds:.1f} s)")
    return n_bad


def documents(files: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the content of every file."""
    for file in files:
        if file.endswith(".gguf"):
            yield file, smollm_file(Path(file))
        else:
            yield file, json.loads(Path(file).read_text(encoding="utf-8"))


def main() -> None:
    """Compare all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*")
    parser.add_argument("--strings", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--write", action="store_true", help="the goldens of the tests anew")
    options = parser.parse_args()
    warnings.simplefilter("ignore", LLMExplainerWarning)
    n_bad = 0
    say("compiled" if core.core_in_use() else "NumPy alone")
    model = trained_model()
    small = layouts(model)
    if options.write:
        GOLDEN.write_text(json.dumps(goldens(model), ensure_ascii=False) + "\n", encoding="utf-8")
    for name, document in [*documents(options.files), *small.items()]:
        n_bad += compare(name, document, options.strings, options.seed)
    sys.exit(n_bad > 0)


def goldens(model: dict[str, Any]) -> dict[str, Any]:
    """Return a model, and what ``tokenizers`` makes of some strings with each of its files."""
    from tokenizers import Tokenizer

    rng, results = random.Random(4), {}
    for name, document in layouts(model).items():
        peer = Tokenizer.from_str(json.dumps(document))
        names = [entry["content"] for entry in document["added_tokens"]]
        results[name] = []
        for text in [*TEXTS, *(fuzzed(rng, TRICKY * 2, names, ["the"]) for _ in range(40))]:
            ids = peer.encode(text, add_special_tokens=False).ids
            results[name].append([text, ids, peer.decode(ids, skip_special_tokens=False)])
    return {"model": model, "results": results}


if __name__ == "__main__":
    main()
