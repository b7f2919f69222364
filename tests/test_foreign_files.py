"""Other people's tokenizer.json: followed as peers follow it, or refused by name.

The goldens are of `tests/foreign_files.py`, which compares thousands of changed files by hand.
"""

from __future__ import annotations

import copy
import json

import pytest

from llm_explainer.errors import LLMExplainerWarning, TokenizerError
from llm_explainer.tokenizer import BPETokenizer
from llm_explainer.tokenizer.files.oniguruma import check_pattern
from llm_explainer.tokenizer.readable.patterns import PATTERNS
from tests.foreign_files import GOLDEN, ours, variants
from tests.foreign_layouts import tokenizer_files

FILES = tokenizer_files()


@pytest.mark.parametrize("name", FILES)
def test_files_and_their_variants_give_what_their_peers_gave(name):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    found = {change: ours(file) for change, file in variants(FILES[name]) if change in golden}
    assert {"": ours(FILES[name]), **found} == golden


def changed(name, **parts):
    document = copy.deepcopy(FILES[name])
    document.update(parts)
    return document


def split_by(pattern, behavior="Isolated", **kinds):
    document = copy.deepcopy(FILES["llama 3"])
    step = document["pre_tokenizer"]["pretokenizers"][0]
    step.update(pattern=kinds or {"Regex": pattern}, behavior=behavior)
    step["invert"] = behavior == "Removed"
    return document


ADDED = {"single_word": False, "lstrip": False, "rstrip": False, "special": True}
REFUSED = {
    "another key": (changed("gpt2", surprise=1), "has the key 'surprise', which is not known"),
    "truncation": (changed("gpt2", truncation={"max_length": 2}), "truncation is"),
    "padding": (changed("gpt2", padding={"pad_id": 0}), "padding is"),
    "no decoder": (changed("gpt2", decoder=None), "decoder is None; only ByteLevel"),
    "a normalizer in a sequence": (
        changed("gpt2", normalizer={"type": "Sequence", "normalizers": [{"type": "Lowercase"}]}),
        "type of normalizer is 'Lowercase'; only",
    ),
    "tokens after a text": (
        changed("gpt2", post_processor={"type": "RobertaProcessing"}),
        "type of post_processor is 'RobertaProcessing'",
    ),
    "an id that the vocabulary has otherwise": (
        changed("gpt2", added_tokens=[{"id": 999, "content": "<|endoftext|>", **ADDED}]),
        r"'<\|endoftext\|>' has the ids 999 and 0",
    ),
    "a name that is spelled as bytes are": (
        changed("gpt2", added_tokens=[{"id": 275, "content": "Ġa", **ADDED}]),
        "'Ġa' is spelled as bytes are",
    ),
    "joined pieces": (split_by("a", "MergedWithNext"), "behavior of Split is 'MergedWithNext'"),
}


@pytest.mark.parametrize(("document", "message"), REFUSED.values(), ids=REFUSED)
def test_what_changes_ids_or_text_is_refused(document, message):
    with pytest.raises(TokenizerError, match=message):
        BPETokenizer.from_json(document)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        (r"\h+", r"'\\h' at character 0"),
        (r"[\w&&[^a-c]]+", r"'\\w' at character 1"),
        (r"[a&&b]", "'&&' in a set"),
        (r"a$", r"'\$' at character 1"),
        (r"^a", r"'\^' at character 0"),
        (r"[[:alpha:]]", r"'\[' in a set"),
        (r"(?i:ss)", "'ss' in any case"),
        (r"(?i:é)", "'é' where case is ignored"),
        (r"(?<=a)b", r"'\(\?<=' at"),
        (r"(?i)a", r"'\(\?i\)' at"),
        (r"a*|b", "a match of no characters"),
        (r"(a|b?)", "a match of no characters"),
        (r"(?=a)", "a match of no characters"),
        (r"a{2}+", "a number of times of a number of times"),
        (r"\R|\X|a", r"'\\R'"),
        (r"[a-c-e]", "a range of a range"),
        (r"[\s-a]", "a range that begins with a class"),
        (r"[]a]", "']' as the first"),
        (r"\p{Alphabetic}", r"'\\p{Alphabetic}'"),
        (r"(a", r"'\(' without '\)'"),
        (r"a)", r"'\)' without '\('"),
        (r"[a", r"'\[' without '\]'"),
    ],
)
def test_what_the_two_dialects_may_read_otherwise(pattern, message):
    with pytest.raises(TokenizerError, match=message):
        check_pattern(pattern)


def test_patterns_that_both_dialects_read_alike():
    for pattern in (
        *PATTERNS.values(),
        r"[\p{L}\d]+|[^\p{L}\d\s]+|\s+",
        "[-a]|[a-]|(?>x|y)z{2,3}?",
    ):
        check_pattern(pattern)


def test_a_pattern_of_our_own_that_others_may_read_otherwise_is_said_and_kept():
    tokenizer = BPETokenizer.train(["der die das"], 260, pattern=r"\w+|\W+")
    with pytest.warns(LLMExplainerWarning, match=r"has '\\w' .*; other software may cut"):
        content = tokenizer.to_json()
    assert BPETokenizer.from_json(json.loads(content)).pattern == r"\w+|\W+"


def test_a_hole_before_an_added_token_is_the_file_s_and_others_close_it():
    document = changed("gpt2", added_tokens=[{"id": 999, "content": "<|new|>", **ADDED}])
    with pytest.warns(LLMExplainerWarning, match="has the id 999 here.* would number it 275"):
        tokenizer = BPETokenizer.from_json(document)
    assert tokenizer.encode("<|new|>") == [999]


def test_a_gap_between_splits_is_a_word():
    tokenizer = BPETokenizer.from_json(split_by("t"))
    assert tokenizer.encode("a the") == [*tokenizer.encode("a "), *tokenizer.encode("t"), 259]
    assert list(tokenizer.encode_iterable(["a th", "e"])) == tokenizer.encode("a the")
    literal = BPETokenizer.from_json(split_by("", String="."))
    assert literal.decode(literal.encode("a.b|c")) == "a.b|c"
    lossy = BPETokenizer.from_json(split_by("t", "Removed"))  # others would lose the rest
    with pytest.raises(TokenizerError, match="leaves out 'a'"):
        lossy.encode("a the")
    for each in (tokenizer, lossy):
        again = BPETokenizer.from_json(json.loads(each.to_json()))
        assert (again.pattern, again.keeps_gaps) == (each.pattern, each.keeps_gaps)


def test_ids_before_a_text_are_kept_apart_and_saved():
    tokenizer = BPETokenizer.from_json(FILES["llama 3.1"])
    assert tokenizer.prefix == (0,)
    assert tokenizer.encode("t") == BPETokenizer.from_json(FILES["llama 3"]).encode("t")
    assert BPETokenizer.from_json(json.loads(tokenizer.to_json())).prefix == (0,)


def test_ids_with_holes():
    tokenizer = BPETokenizer.from_json(FILES["gpt-3.5"])
    last = tokenizer.special_tokens["<|fim|>"]
    assert tokenizer.vocab_size == last + 1 > len(tokenizer.vocab)
    ids = tokenizer.encode("the<|fim|>")
    assert tokenizer.decode(ids) == "the<|fim|>"
    for hole in ([last - 1], [5] * 100 + [last - 1], [-1], [last + 1]):
        with pytest.raises(TokenizerError, match=f"unknown token id {hole[-1]}"):
            tokenizer.decode(hole)
    assert json.loads(tokenizer.to_json())["model"]["vocab"]["<|fim|>"] == last


def test_windows_line_ends_in_merges(tmp_path):
    vocab, merges = FILES["gpt2"]["model"]["vocab"], FILES["gpt2"]["model"]["merges"]
    (tmp_path / "vocab.json").write_text(json.dumps(vocab))
    ids = []
    for end in ("\n", "\r\n"):
        text = end.join(["#version: 0.2", *merges, ""])
        (tmp_path / "merges.txt").write_bytes(text.encode())
        tokenizer = BPETokenizer.from_gpt2(
            tmp_path / "vocab.json", tmp_path / "merges.txt", special_tokens=("<|fim|>",)
        )
        ids.append(tokenizer.encode("the other thing 123"))
    assert ids[0] == ids[1]
